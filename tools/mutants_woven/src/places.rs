//! Where in a file the expressions and arms lie that mutants change.

use std::collections::BTreeMap;

use anyhow::Result;
use proc_macro2::LineColumn;
use syn::{
    Arm, Expr, ExprBinary, ExprConst, ExprUnary, GenericArgument, ImplItemFn, ItemConst, ItemFn, ItemStatic, TraitItemFn, spanned::Spanned,
    visit::{self, Visit},
};

use crate::Position;

/// From where to where something reaches.
pub type Range = (Position, Position);

/// An arm of a match: the end of its pattern, and its guard.
#[derive(Debug, Clone, Copy)]
pub struct ArmPlace {
    pub pattern_end: Position,
    pub guard: Option<Range>,
}

/// All places of a file, by where cargo-mutants says that a mutant begins.
#[derive(Debug, Default)]
pub struct Places {
    /// Whole expressions, by their operator.
    pub operators: BTreeMap<Position, Range>,
    pub arms: BTreeMap<Position, ArmPlace>,
    /// Code that runs while it is compiled, and conditions that bind names: nothing can be asked there.
    silent: Vec<Range>,
}

impl Places {
    pub fn of(source: &str) -> Result<Self> {
        let mut places = Self::default();
        places.visit_file(&syn::parse_file(source)?);
        Ok(places)
    }

    /// Whether a question can be asked here.
    pub fn can_ask(&self, at: Position) -> bool {
        !self.silent.iter().any(|(from, to)| *from <= at && at < *to)
    }

    fn silence(&mut self, what: &impl Spanned) {
        self.silent.push(range(what));
    }
}

fn position(at: LineColumn) -> Position {
    Position {
        line: at.line,
        column: at.column + 1,
    }
}

fn range(what: &impl Spanned) -> Range {
    let span = what.span();
    (position(span.start()), position(span.end()))
}

/// Whether a condition binds names: `a && let Some(b) = c`.
fn binds(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary { left, right, .. }) => binds(left) || binds(right),
        _ => false,
    }
}

impl<'a> Visit<'a> for Places {
    fn visit_expr_binary(&mut self, expression: &'a ExprBinary) {
        if !binds(&expression.left) && !binds(&expression.right) {
            self.operators.insert(range(&expression.op).0, range(expression));
        }
        visit::visit_expr_binary(self, expression);
    }

    fn visit_expr_unary(&mut self, expression: &'a ExprUnary) {
        self.operators.insert(range(&expression.op).0, range(expression));
        visit::visit_expr_unary(self, expression);
    }

    fn visit_arm(&mut self, arm: &'a Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| guard);
        if guard.is_none_or(|guard| !binds(guard)) {
            let place = ArmPlace {
                pattern_end: range(&arm.pat).1,
                guard: guard.map(|guard| range(guard)),
            };
            self.arms.insert(range(arm).0, place);
            if let Some(guard) = guard {
                self.operators.entry(range(guard).0).or_insert(range(guard));
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        if item.sig.constness.is_some() {
            self.silence(&item.block);
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        if item.sig.constness.is_some() {
            self.silence(&item.block);
        }
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a TraitItemFn) {
        if item.sig.constness.is_some() {
            self.silence(item);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'a ItemConst) {
        self.silence(item);
    }

    fn visit_item_static(&mut self, item: &'a ItemStatic) {
        self.silence(item);
    }

    fn visit_expr_repeat(&mut self, expression: &'a syn::ExprRepeat) {
        self.silence(&expression.len);
        visit::visit_expr_repeat(self, expression);
    }

    fn visit_generic_argument(&mut self, argument: &'a GenericArgument) {
        if matches!(argument, GenericArgument::Const(_)) {
            self.silence(argument);
        }
        visit::visit_generic_argument(self, argument);
    }

    fn visit_expr_const(&mut self, expression: &'a ExprConst) {
        self.silence(expression);
    }

    fn visit_type_array(&mut self, array: &'a syn::TypeArray) {
        self.silence(&array.len);
    }
}
