//! Reading a TOML document with the place of every value at hand, without stopping at the first problem.
//!
//! Every function that returns `None` for a value that is there has noted a problem in the [`Report`].

use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::problem::{Noted, Report};
use super::quantity::{format_duration, format_size, parse_duration, parse_size};

/// A table whose keys are taken one by one; what is left in the end is unknown.
pub(super) struct Table<'a> {
    path: String,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
    known: Vec<&'static str>,
    report: &'a Report<'a>,
}

impl<'a> Table<'a> {
    /// The table of a whole document.
    pub(super) fn root(entries: &'a DeTable<'a>, report: &'a Report<'a>) -> Self {
        Self {
            path: String::new(),
            span: 0..0,
            entries,
            known: Vec::new(),
            report,
        }
    }

    /// The value of `key`, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let (name, value) = self
            .entries
            .iter()
            .find(|(name, _)| name.get_ref() == key)?;
        // A table made of several `[a.b]` headers has no place of its own; its first key has.
        let span = if value.get_ref().is_table() || value.get_ref().is_array() {
            name.span()
        } else {
            value.span()
        };
        Some(Value {
            path: self.child(key),
            span,
            content: value.get_ref(),
            report: self.report,
        })
    }

    /// The value of `key`; it is a problem if it is not there.
    pub(super) fn require(&mut self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.take(key);
        if value.is_none() {
            self.report.add(
                &self.span,
                &self.child(key),
                "missing",
                format!("add {example}"),
            );
        }
        value
    }

    /// The text of `key`; it is a problem if it is not there.
    pub(super) fn require_text(&mut self, key: &'static str, example: &str) -> Option<Value<'a>> {
        self.require(key, example)
            .filter(|value| value.text().is_some())
    }

    /// Whether `key` is true; false where it is not there.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        self.take(key)
            .and_then(|value| value.boolean())
            .unwrap_or(false)
    }

    /// The tables of `[[key]]`, none where it is not there.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Table<'a>> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let items = value.items_or(&format!("a list of tables, each headed [[{}]]", value.path));
        items.iter().flatten().filter_map(Value::table).collect()
    }

    /// A size in bytes within bounds, `default` where it is not there.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let Some(value) = self.take(key) else {
            return Some(default);
        };
        let size = value.text_for("a size such as \"1 MiB\"").map(parse_size)?;
        let Some(size) = size else {
            return value.problem(
                "not a size",
                "write a whole number and B, KiB, MiB or GiB, such as \"1 MiB\"",
            );
        };
        value.bounded(size, &bounds, format_size)
    }

    /// A length of time within bounds, `default` where it is not there.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let Some(value) = self.take(key) else {
            return Some(default);
        };
        let duration = value
            .text_for("a length of time such as \"30s\"")
            .map(parse_duration)?;
        let Some(duration) = duration else {
            return value.problem(
                "not a length of time",
                "write a whole number and ms, s, m or h, such as \"30s\"",
            );
        };
        value.bounded(duration, &bounds, format_duration)
    }

    /// A whole number within bounds, `default` where it is not there.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        default: usize,
        bounds: RangeInclusive<usize>,
    ) -> Option<usize> {
        let Some(value) = self.take(key) else {
            return Some(default);
        };
        let count = match value.content {
            DeValue::Integer(integer) => {
                usize::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            _ => None,
        };
        let Some(count) = count else {
            return value.problem(
                "not a whole number",
                format!("write a number such as {default}"),
            );
        };
        value.bounded(count, &bounds, |count| count.to_string())
    }

    /// Notes that something beside the text names a file, whose changes are those of `key`.
    pub(super) fn refers_to_secret(&self, key: &str, path: &Path) {
        self.report.refer_to(key, path, true);
    }

    /// Notes a problem with the table as a whole.
    pub(super) fn problem<T>(
        &self,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Option<T> {
        self.report.add(&self.span, &self.path, message, fix);
        None
    }

    /// Notes every key that was not asked for.
    pub(super) fn finish(self) {
        for (name, _) in self
            .entries
            .iter()
            .filter(|(name, _)| !self.known.iter().any(|known| known == name.get_ref()))
        {
            let fix = format!(
                "remove it or correct it; known here: {}",
                self.known.join(", ")
            );
            self.report.add(
                &name.span(),
                &self.child(name.get_ref()),
                "unknown key",
                fix,
            );
        }
    }

    fn child(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// What each item of a list means; nothing where one of them means nothing. All are read before, so that every problem is told.
pub(super) fn read_each<'a, T>(
    items: &[Value<'a>],
    read: impl FnMut(&Value<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let read: Vec<T> = items.iter().filter_map(read).collect();
    (read.len() == items.len()).then_some(read)
}

/// A value and its place.
#[derive(Clone)]
pub(super) struct Value<'a> {
    path: String,
    span: Range<usize>,
    content: &'a DeValue<'a>,
    report: &'a Report<'a>,
}

impl<'a> Value<'a> {
    /// Notes that this value names a file.
    pub(super) fn refers_to(&self, path: &Path) {
        self.report.refer_to(&self.path, path, false);
    }

    /// As [`refers_to`](Self::refers_to), where nobody else may read the file.
    pub(super) fn refers_to_secret(&self, path: &Path) {
        self.report.refer_to(&self.path, path, true);
    }

    /// Notes a problem with this value.
    pub(super) fn problem<T>(
        &self,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Option<T> {
        self.report.add(&self.span, &self.path, message, fix);
        None
    }

    /// Like [`Self::problem`], for results.
    pub(super) fn noted<T>(
        &self,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Result<T, Noted> {
        self.problem(message, fix).ok_or(Noted)
    }

    /// The text of a string that is not empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.text_for("a text in quotes")
    }

    /// Like [`Self::text`], with what is expected for the message.
    fn text_for(&self, expected: &str) -> Option<&'a str> {
        match self.content {
            DeValue::String(text) if text.is_empty() => {
                self.problem("empty", "give it a value or remove the key")
            }
            DeValue::String(text) => Some(text),
            other => self.problem(
                format!("is {}", described(other)),
                format!("write {expected}"),
            ),
        }
    }

    /// Like [`Self::text`], but empty is a value too.
    pub(super) fn text_or_empty(&self) -> Option<&'a str> {
        match self.content {
            DeValue::String(text) => Some(text),
            _ => self.text(),
        }
    }

    /// Whether it is one of the two.
    pub(super) fn is_boolean(&self) -> bool {
        matches!(self.content, DeValue::Boolean(_))
    }

    /// True or false.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.content {
            DeValue::Boolean(boolean) => Some(*boolean),
            other => self.problem(
                format!("is {}", described(other)),
                "write true or false, without quotes",
            ),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, choice)| *choice);
        found.or_else(|| {
            let names: Vec<String> = choices
                .iter()
                .map(|(name, _)| format!("{name:?}"))
                .collect();
            self.problem("unknown value", format!("write {}", names.join(" or ")))
        })
    }

    /// The table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        match self.content {
            DeValue::Table(entries) => Some(Table {
                path: self.path.clone(),
                span: self.span.clone(),
                entries,
                known: Vec::new(),
                report: self.report,
            }),
            other => self.problem(
                format!("is {}", described(other)),
                format!("write a table, headed [{}] or in braces", self.path),
            ),
        }
    }

    /// The texts of a list of strings; none of them is empty.
    pub(super) fn texts(&self) -> Option<Vec<Value<'a>>> {
        let items = self.items_or("a list of texts such as [\"a\", \"b\"]")?;
        let good = items.iter().filter(|item| item.text().is_some()).count();
        (good == items.len()).then_some(items)
    }

    fn items_or(&self, expected: &str) -> Option<Vec<Value<'a>>> {
        match self.content {
            DeValue::Array(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Value {
                        path: format!("{}[{index}]", self.path),
                        span: item.span(),
                        content: item.get_ref(),
                        report: self.report,
                    })
                    .collect(),
            ),
            other => self.problem(
                format!("is {}", described(other)),
                format!("write {expected}"),
            ),
        }
    }

    fn bounded<T: PartialOrd + Copy>(
        &self,
        amount: T,
        bounds: &RangeInclusive<T>,
        format: impl Fn(T) -> String,
    ) -> Option<T> {
        if bounds.contains(&amount) {
            return Some(amount);
        }
        let fix = format!(
            "choose from {} to {}",
            format(*bounds.start()),
            format(*bounds.end())
        );
        self.problem("out of bounds", fix)
    }
}

/// The kind of a value for people. The value itself may be a secret in the wrong place.
fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
