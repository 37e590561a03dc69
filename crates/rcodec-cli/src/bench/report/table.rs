//! Tables that are written as Markdown and HTML alike.

/// A table: a title, headings, rows of cells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) headings: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// A row; ours stand out.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) ours: bool,
    pub(crate) cells: Vec<Cell>,
}

/// A cell: what is shown and what it is sorted by.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// None for words.
    pub(crate) value: Option<f64>,
}

impl Cell {
    pub(crate) fn words(text: impl Into<String>) -> Self {
        Cell {
            text: text.into(),
            value: None,
        }
    }

    /// A number with some digits behind the point; empty for none.
    pub(crate) fn number(value: Option<f64>, digits: usize) -> Self {
        Cell {
            text: value.map_or_else(String::new, |v| format!("{v:.digits$}")),
            value,
        }
    }

    /// A difference in percent, with its sign.
    pub(crate) fn percent(value: Option<f64>) -> Self {
        Cell {
            text: value.map_or_else(String::new, |v| format!("{v:+.1}%")),
            value,
        }
    }

    /// A whole number, with separators.
    pub(crate) fn whole(value: u64) -> Self {
        Cell {
            text: crate::report::grouped(value),
            value: Some(value as f64),
        }
    }
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, headings: &[&str]) -> Self {
        Table {
            title: title.into(),
            headings: headings.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, ours: bool, cells: Vec<Cell>) {
        self.rows.push(Row { ours, cells });
    }

    /// Without the columns in which no row has anything.
    #[must_use]
    pub(crate) fn without_empty_columns(mut self) -> Self {
        let filled: Vec<bool> = (0..self.headings.len())
            .map(|i| self.rows.iter().any(|row| !row.cells[i].text.is_empty()))
            .collect();
        let mut keep = filled.iter();
        self.headings.retain(|_| keep.next() == Some(&true));
        for row in &mut self.rows {
            let mut keep = filled.iter();
            row.cells.retain(|_| keep.next() == Some(&true));
        }
        self
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("### {}\n\n", self.title);
        let line = |cells: &mut dyn Iterator<Item = String>| {
            let cells: Vec<String> = cells.map(|c| c.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        out += &line(&mut self.headings.iter().cloned());
        out += &format!("|{}\n", "---|".repeat(self.headings.len()));
        for row in &self.rows {
            let bold = |text: &str| match text {
                "" => String::new(),
                text if row.ours => format!("**{text}**"),
                text => text.to_string(),
            };
            let mut cells = row.cells.iter().enumerate().map(|(i, cell)| {
                if i == 0 {
                    bold(&cell.text)
                } else {
                    cell.text.clone()
                }
            });
            out += &line(&mut cells);
        }
        out + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_of_a_table() {
        let mut table = Table::new("T", &["tool", "bytes"]);
        table.push(true, vec![Cell::words("a|b"), Cell::whole(1234)]);
        table.push(false, vec![Cell::words("c"), Cell::number(None, 2)]);
        assert_eq!(
            table.markdown(),
            "### T\n\n| tool | bytes |\n|---|---|\n| **a\\|b** | 1,234 |\n| c |  |\n\n"
        );
        table.rows.pop();
        table.push(false, vec![Cell::words("c"), Cell::words("")]);
        assert_eq!(table.clone().without_empty_columns().headings.len(), 2);
        table.rows.remove(0);
        let table = table.without_empty_columns();
        assert_eq!(table.headings, ["tool"]);
        assert_eq!(table.rows[0].cells.len(), 1);
    }
}
