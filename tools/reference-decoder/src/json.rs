//! As much of JSON as the manifests of models need.

use crate::error::{Result, malformed};

/// A value.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    /// What nothing here asks for: `null`, truth values, fractions.
    Other,
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().find(|m| m.0 == name).map(|m| &m.1),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }
}

/// Parses a text that is one value.
pub(crate) fn parse(text: &[u8]) -> Result<Value> {
    let Ok(text) = str::from_utf8(text) else {
        return malformed("JSON that is not UTF-8");
    };
    let mut parser = Parser { rest: text };
    let value = parser.value(0)?;
    parser.spaces();
    if parser.rest.is_empty() {
        Ok(value)
    } else {
        malformed("text behind JSON")
    }
}

/// Values within values, at most.
const DEPTH: u32 = 64;

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Steps over a mark and the spaces before it, if it comes next.
    fn mark(&mut self, mark: char) -> bool {
        self.spaces();
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, mark: char) -> Result<()> {
        if self.mark(mark) {
            Ok(())
        } else {
            malformed("JSON")
        }
    }

    fn next(&mut self) -> Result<char> {
        let Some(c) = self.rest.chars().next() else {
            return malformed("JSON that is cut");
        };
        self.rest = &self.rest[c.len_utf8()..];
        Ok(c)
    }

    fn value(&mut self, depth: u32) -> Result<Value> {
        if depth > DEPTH {
            return malformed("JSON that is too deep");
        }
        if self.mark('{') {
            let mut members = Vec::new();
            while !self.mark('}') {
                if !members.is_empty() {
                    self.expect(',')?;
                }
                self.expect('"')?;
                let name = self.text()?;
                self.expect(':')?;
                members.push((name, self.value(depth + 1)?));
            }
            return Ok(Value::Object(members));
        }
        if self.mark('[') {
            let mut items = Vec::new();
            while !self.mark(']') {
                if !items.is_empty() {
                    self.expect(',')?;
                }
                items.push(self.value(depth + 1)?);
            }
            return Ok(Value::List(items));
        }
        if self.mark('"') {
            return Ok(Value::Text(self.text()?));
        }
        let length = self.rest.find([',', '}', ']', ' ', '\t', '\n', '\r']);
        let (word, rest) = self.rest.split_at(length.unwrap_or(self.rest.len()));
        if word.is_empty() {
            return malformed("JSON");
        }
        self.rest = rest;
        Ok(word.parse().map_or(Value::Other, Value::Number))
    }

    /// A string behind its first quote.
    fn text(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Ok(text),
                '\\' => text.push(match self.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    // Halves of pairs become replacement characters: only notes
                    // for people have them.
                    'u' => {
                        let mut code = 0;
                        for _ in 0..4 {
                            let Some(digit) = self.next()?.to_digit(16) else {
                                return malformed("an escape in JSON");
                            };
                            code = 16 * code + digit;
                        }
                        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                    }
                    c => c,
                }),
                c => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        let value = parse(br#" {"a": [1, -2, 0.5], "b": {"c": "x\u0041\n"}, "d": null} "#);
        let value = value.unwrap();
        let [one, two, half] = value.get("a").unwrap().items() else {
            panic!()
        };
        assert_eq!(
            (one.number(), two.number(), half),
            (Some(1), Some(-2), &Value::Other)
        );
        assert_eq!(
            value
                .get("b")
                .and_then(|b| b.get("c"))
                .and_then(Value::text),
            Some("xA\n")
        );
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"[1").is_err());
    }
}
