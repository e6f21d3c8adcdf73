//! What is inserted into a file, and in which order.

use crate::{
    Mutant, Position,
    places::{Places, Range},
};

const QUESTION: &str = "crate::mutant::chosen()";

/// Text to insert. At one place what ends there comes before what begins there; what is larger begins first and ends last.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    End { length: usize, turn: isize },
    Begin { length: isize, turn: isize },
}

pub struct Insertions<'a> {
    source: &'a str,
    lines: Vec<usize>,
    texts: Vec<(usize, Order, String)>,
}

impl<'a> Insertions<'a> {
    pub fn new(source: &'a str) -> Self {
        let lines = std::iter::once(0)
            .chain(source.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            source,
            lines,
            texts: Vec::new(),
        }
    }

    /// Adds a mutant, and tells whether that is possible.
    pub fn add(&mut self, mutant: &Mutant, places: &Places) -> bool {
        let (number, start) = (mutant.number, mutant.span.start);
        if !places.can_ask(start) {
            return false;
        }
        match mutant.genre.as_str() {
            "FnValue" => {
                let text = format!(
                    "\n/*{number}*/ if {QUESTION} == {number} {{ return {}; }} /*-{number}*/\n",
                    mutant.replacement
                );
                let at = self.offset(start);
                let order = Order::Begin {
                    length: isize::MIN,
                    turn: self.turn(),
                };
                self.texts.push((at, order, text));
                true
            }
            "BinaryOperator" | "UnaryOperator" => {
                let Some(whole) = places.operators.get(&start) else {
                    return false;
                };
                let (from, to) = self.offsets(*whole);
                let (operator, operator_end) = self.offsets((start, mutant.span.end));
                let other = [
                    &self.source[from..operator],
                    &mutant.replacement,
                    &self.source[operator_end..to],
                ]
                .concat();
                self.choose(number, (from, to), &other);
                true
            }
            "MatchArmGuard" => {
                let (from, to) = self.offsets((start, mutant.span.end));
                if !places.operators.contains_key(&start) {
                    return false;
                }
                self.choose(number, (from, to), &mutant.replacement);
                true
            }
            "MatchArm" => {
                let Some(arm) = places.arms.get(&start) else {
                    return false;
                };
                if let Some(guard) = arm.guard {
                    let guard = self.offsets(guard);
                    self.surround(
                        guard,
                        format!("\n/*{number}*/ {QUESTION} != {number} && /*-{number}*/\n("),
                        ")".to_owned(),
                    );
                } else {
                    let at = self.offset(arm.pattern_end);
                    self.surround(
                        (at, at),
                        String::new(),
                        format!("\n/*{number}*/ if {QUESTION} != {number} /*-{number}*/\n"),
                    );
                }
                true
            }
            _ => false,
        }
    }

    /// The source with everything in it.
    pub fn apply(mut self) -> String {
        self.texts.sort();
        let mut woven = String::new();
        let mut done = 0;
        for (at, _, text) in self.texts {
            woven.push_str(&self.source[done..at]);
            woven.push_str(&text);
            done = at;
        }
        woven.push_str(&self.source[done..]);
        woven
    }

    /// One expression or, if its number is chosen, another.
    fn choose(&mut self, number: u32, whole: (usize, usize), other: &str) {
        self.surround(
            whole,
            format!("(if {QUESTION} == {number} {{\n/*{number}*/ ({other}) /*-{number}*/\n}} else {{ ("),
            ") })".to_owned(),
        );
    }

    fn surround(&mut self, (from, to): (usize, usize), before: String, after: String) {
        let (length, turn) = (to - from, self.turn());
        let begin = Order::Begin {
            length: -isize::try_from(length).unwrap_or(isize::MAX),
            turn,
        };
        self.texts.push((from, begin, before));
        self.texts.push((to, Order::End { length, turn: -turn }, after));
    }

    fn turn(&self) -> isize {
        isize::try_from(self.texts.len()).unwrap_or(isize::MAX)
    }

    fn offsets(&self, (from, to): Range) -> (usize, usize) {
        (self.offset(from), self.offset(to))
    }

    fn offset(&self, at: Position) -> usize {
        let line = self.lines[at.line - 1];
        self.source[line..]
            .char_indices()
            .nth(at.column - 1)
            .map_or(self.source.len(), |(offset, _)| line + offset)
    }
}
