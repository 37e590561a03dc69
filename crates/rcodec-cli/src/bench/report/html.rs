//! The report as one HTML file without anything from outside.

use super::table::Table;
use std::path::Path;

/// Text as HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>rcodec bench</title>
<style>
:root { --ink:#222; --faint:#667; --line:#d9dce2; --ours:#eaf4ec; --head:#f3f4f7; }
body { font:15px/1.5 system-ui,sans-serif; color:var(--ink); max-width:1360px; margin:2rem auto; padding:0 1.2rem; }
h1 { font-size:1.7rem; margin:0 0 .3rem; } h2 { margin:2.6rem 0 .6rem; border-bottom:2px solid var(--line); padding-bottom:.2rem; }
h3 { font-size:1.02rem; margin:1.6rem 0 .4rem; }
p.note, li, dl { color:var(--faint); } code { font-size:.92em; }
dl { display:grid; grid-template-columns:max-content 1fr; gap:.1rem 1rem; margin:.6rem 0; } dt { font-weight:600; } dd { margin:0; }
.scroll { overflow-x:auto; max-height:34rem; overflow-y:auto; border:1px solid var(--line); border-radius:6px; }
table { border-collapse:collapse; width:100%; font-size:.88rem; font-variant-numeric:tabular-nums; }
th { position:sticky; top:0; background:var(--head); text-align:right; cursor:pointer; white-space:nowrap; user-select:none; }
th, td { padding:.28rem .6rem; border-bottom:1px solid var(--line); } td { text-align:right; white-space:nowrap; }
th:first-child, td.w { text-align:left; } tr.ours td { background:var(--ours); font-weight:600; } tbody tr:hover td { background:#f6f0dd; }
th.up::after { content:" \25B2"; } th.down::after { content:" \25BC"; }
.charts { display:grid; grid-template-columns:repeat(auto-fit,minmax(520px,1fr)); gap:1rem; } .charts svg { width:100%; height:auto; border:1px solid var(--line); border-radius:6px; }
.crops { display:flex; flex-wrap:wrap; gap:.8rem; } figure { margin:0; width:256px; } figure img { width:256px; image-rendering:pixelated; border-radius:4px; display:block; }
figcaption { font-size:.8rem; color:var(--faint); line-height:1.35; padding-top:.2rem; } figcaption b { color:var(--ink); }
</style></head><body>
"#;

const SCRIPT: &str = r#"<script>
document.querySelectorAll('th').forEach(th => th.addEventListener('click', () => {
  const table = th.closest('table'), body = table.tBodies[0], at = th.cellIndex;
  const down = th.classList.contains('up');
  table.querySelectorAll('th').forEach(t => t.classList.remove('up', 'down'));
  th.classList.add(down ? 'down' : 'up');
  const key = row => { const c = row.cells[at]; return c.dataset.v === undefined ? c.textContent : parseFloat(c.dataset.v); };
  const order = (a, b) => {
    const x = key(a), y = key(b), empty = v => v === '' || Number.isNaN(v);
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    const d = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
    return down ? -d : d;
  };
  [...body.rows].sort(order).forEach(row => body.append(row));
}));
</script></body></html>
"#;

/// Builds the page from its parts.
pub(crate) struct Page {
    html: String,
}

impl Page {
    pub(crate) fn new() -> Self {
        Page { html: HEAD.into() }
    }

    pub(crate) fn heading(&mut self, level: u8, text: &str) {
        self.html += &format!("<h{level}>{}</h{level}>\n", escaped(text));
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.html += &format!("<p class=\"note\">{}</p>\n", escaped(text));
    }

    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) {
        self.html += "<dl>";
        for (name, value) in facts {
            self.html += &format!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
        }
        self.html += "</dl>\n";
    }

    pub(crate) fn list(&mut self, lines: &[String]) {
        self.html += "<ul>";
        for line in lines {
            self.html += &format!("<li>{}</li>\n", escaped(line));
        }
        self.html += "</ul>\n";
    }

    pub(crate) fn table(&mut self, table: &Table) {
        self.heading(3, &table.title);
        self.html += "<div class=\"scroll\"><table><thead><tr>";
        for heading in &table.headings {
            self.html += &format!("<th>{}</th>", escaped(heading));
        }
        self.html += "</tr></thead><tbody>\n";
        for row in &table.rows {
            self.html += if row.ours {
                "<tr class=\"ours\">"
            } else {
                "<tr>"
            };
            for cell in &row.cells {
                let text = escaped(&cell.text);
                self.html += &match cell.value {
                    Some(value) => format!("<td data-v=\"{value}\">{text}</td>"),
                    None if text.is_empty() => "<td></td>".to_string(),
                    None => format!("<td class=\"w\">{text}</td>"),
                };
            }
            self.html += "</tr>\n";
        }
        self.html += "</tbody></table></div>\n";
    }

    pub(crate) fn charts(&mut self, svgs: &[String]) {
        self.html += "<div class=\"charts\">\n";
        self.html += &svgs.concat();
        self.html += "</div>\n";
    }

    /// Pictures side by side: file, bold caption, caption.
    pub(crate) fn crops(&mut self, crops: &[(std::path::PathBuf, String, String)]) {
        self.html += "<div class=\"crops\">\n";
        for (path, name, caption) in crops {
            if let Some(data) = data_uri(path) {
                self.html += &format!(
                    "<figure><img alt=\"{0}\" src=\"{data}\"><figcaption><b>{0}</b><br>{1}</figcaption></figure>\n",
                    escaped(name),
                    escaped(caption)
                );
            }
        }
        self.html += "</div>\n";
    }

    pub(crate) fn finish(self) -> String {
        self.html + SCRIPT
    }
}

fn data_uri(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(format!("data:image/png;base64,{}", base64(&bytes)))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(DIGITS[(word >> (18 - 6 * i)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_rfc_4648() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn names_of_files_are_escaped() {
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
