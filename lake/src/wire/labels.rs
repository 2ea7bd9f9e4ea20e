//! The names of an answer's columns, as PostgreSQL would give them.

use datafusion::sql::sqlparser::ast::{Expr, Ident, SelectItem, SetExpr, Statement};

use super::rewrite::last_of;

/// Names of columns that are there twice begin with this, a number and this again: clients never see it.
pub(super) const TWICE: &str = "__";

/// The name of a column as a client is to see it.
pub(super) fn shown_name(name: &str) -> &str {
    name.strip_prefix(TWICE)
        .and_then(|rest| rest.split_once(TWICE))
        .filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(name, |(_, shown)| shown)
}

/// The names that PostgreSQL gives to the columns of a statement: of a function its name, of a cast what is cast. Empty where a
/// `*` makes it impossible to tell.
pub(super) fn labels(statement: &Statement) -> Vec<Option<String>> {
    let Statement::Query(query) = statement else { return Vec::new() };
    let mut body = &query.body;
    let select = loop {
        match body.as_ref() {
            SetExpr::Select(select) => break select,
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(query) => body = &query.body,
            _ => return Vec::new(),
        }
    };
    let label = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) => Some(Some(name_of(expr))),
        // The planner makes a name of its own of capital letters, or none.
        SelectItem::ExprWithAlias { alias, .. } if alias.quote_style.is_none() => {
            Some(Some(shown_name(&alias.value.to_lowercase()).to_owned()))
        }
        SelectItem::ExprWithAlias { alias, .. } => Some(Some(shown_name(&alias.value).to_owned())),
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
            None
        }
    };
    select.projection.iter().map(label).collect::<Option<Vec<_>>>().unwrap_or_default()
}

pub(super) fn name_of(expr: &Expr) -> String {
    let last = |ident: &Ident| {
        if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
    };
    match expr {
        Expr::Identifier(ident) => last(ident),
        Expr::CompoundIdentifier(idents) => idents.last().map_or_else(|| "?column?".to_owned(), last),
        Expr::Function(function) => last_of(&function.name).to_lowercase(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) | Expr::Collate { expr, .. } => name_of(expr),
        Expr::Case { .. } => "case".to_owned(),
        Expr::Exists { .. } => "exists".to_owned(),
        Expr::Extract { .. } => "extract".to_owned(),
        Expr::Substring { .. } => "substring".to_owned(),
        Expr::Trim { .. } => "btrim".to_owned(),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first() {
                Some(SelectItem::UnnamedExpr(expr)) => name_of(expr),
                Some(SelectItem::ExprWithAlias { alias, .. }) => last(alias),
                _ => "?column?".to_owned(),
            },
            _ => "?column?".to_owned(),
        },
        _ => "?column?".to_owned(),
    }
}
