//! Statements as PostgreSQL's clients write them, in the words of our planner.
//!
//! In: a parsed statement. Out: the same question without what only PostgreSQL has: its schema of system functions and types,
//! `regclass`, operators by name, catalogues that are always empty here, two columns of one name. What one may see is none of its
//! business: the tables that are there are those that one may see.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, JoinOperator, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, Subscript, TableFactor,
    Value, VisitMut, VisitorMut, With,
};

use super::catalogue;
use super::labels::{TWICE, name_of};

/// The statement as our planner understands it. `user` is who asks, for `current_user`.
pub(super) fn rewritten(mut statement: Statement, user: &str) -> Statement {
    let _: ControlFlow<()> =
        VisitMut::visit(&mut statement, &mut Rewriter { user: user.to_owned(), withs: Vec::new() });
    if let Statement::Query(query) = &mut statement {
        for select in selects(&mut query.body) {
            tell_apart(select);
        }
    }
    statement
}

struct Rewriter {
    user: String,
    /// Names that each query around gives to queries of its own: they hide catalogues.
    withs: Vec<Vec<String>>,
}

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let names =
            |with: &With| with.cte_tables.iter().map(|cte| cte.alias.name.value.to_lowercase()).collect();
        self.withs.push(query.with.as_ref().map(names).unwrap_or_default());
        if query.with.is_some() {
            return ControlFlow::Continue(());
        }
        let is_alone = matches!(*query.body, SetExpr::Select(_));
        for select in selects(&mut query.body) {
            // Beside others its order and limit are theirs too.
            if self.is_surely_empty(select) && emptied(select) && is_alone {
                query.order_by = None;
                query.limit_clause = None;
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.withs.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(name)] = relation.0.as_slice()
            && catalogue::is_system_table(&name.value.to_lowercase())
            && self.of_catalogue(relation).is_some()
        {
            *relation = ObjectName::from(vec![Ident::new("pg_catalog"), name.clone()]);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(other) = self.other(expr) {
            *expr = other;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, data_type, .. } = expr
            && let Some(other) = cast(inner, data_type)
        {
            *expr = other;
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter {
    fn other(&self, expr: &mut Expr) -> Option<Expr> {
        match expr {
            Expr::Collate { expr, .. } => Some((**expr).clone()),
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(name) = op
                    && let Some(known) = operator(name)
                {
                    *op = known;
                }
                None
            }
            // A subquery that can only give nothing.
            Expr::Subquery(query) if self.is_empty_query(query) => Some(null()),
            Expr::Subquery(query) => {
                self.of_one_row(query);
                None
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
                let list = texts(&known_list(right)?);
                if list.is_empty() {
                    return Some(Expr::value(Value::Boolean(false)));
                }
                Some(Expr::InList { expr: left.clone(), list, negated: false })
            }
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
                let list = texts(&known_list(right)?);
                if list.is_empty() {
                    return Some(Expr::value(Value::Boolean(true)));
                }
                Some(Expr::InList { expr: left.clone(), list, negated: true })
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let [AccessExpr::Subscript(Subscript::Index { index })] = access_chain.as_slice() else {
                    return None;
                };
                let place: usize = index.to_string().parse().ok()?;
                let list = known_list(root)?;
                Some(place.checked_sub(1).and_then(|idx| list.get(idx)).map_or_else(null, |item| text(item)))
            }
            Expr::InSubquery { expr, subquery, negated } => {
                // How Grafana asks for the schemas of the search path.
                let is_search_path = subquery.to_string().contains("current_setting('search_path')");
                is_search_path.then(|| Expr::InList {
                    expr: expr.clone(),
                    list: vec![text("public"), text("pg_catalog")],
                    negated: *negated,
                })
            }
            // Words that look like columns, and are functions without brackets.
            Expr::Identifier(ident)
                if ident.quote_style.is_none() && is_user_word(&ident.value.to_lowercase()) =>
            {
                Some(text(&self.user))
            }
            Expr::Function(function) => {
                if let [ObjectNamePart::Identifier(schema), name] = function.name.0.as_slice()
                    && schema.value.eq_ignore_ascii_case("pg_catalog")
                {
                    function.name = ObjectName(vec![name.clone()]);
                }
                let name = last_of(&function.name).to_lowercase();
                if is_user_word(&name) {
                    return Some(text(&self.user));
                }
                // ARRAY(SELECT ...) over what has no rows.
                if let FunctionArguments::Subquery(query) = &function.args
                    && name == "array"
                    && self.is_empty_query(query)
                {
                    return Some(text("{}"));
                }
                if matches!(name.as_str(), "array_length" | "array_upper" | "array_lower") {
                    let list = known_list(arguments(function).first()?)?;
                    if list.is_empty() {
                        return Some(null());
                    }
                    return Some(number(&(if name == "array_lower" { 1 } else { list.len() }).to_string()));
                }
                if matches!(function.args, FunctionArguments::None) {
                    return match name.as_str() {
                        "current_catalog" => Some(text(crate::query::CATALOG)),
                        "current_schema" => Some(text(crate::query::SCHEMA)),
                        _ => None,
                    };
                }
                None
            }
            _ => None,
        }
    }
}

fn is_user_word(name: &str) -> bool {
    matches!(name, "current_user" | "session_user" | "user" | "current_role")
}

fn operator(name: &[String]) -> Option<BinaryOperator> {
    Some(match name.last()?.as_str() {
        "~" => BinaryOperator::PGRegexMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        _ => return None,
    })
}

/// The members of a list that is known before anything is read: the schemas that are searched, the parts of a name, a list written
/// out.
fn known_list(list: &Expr) -> Option<Vec<String>> {
    match list {
        Expr::Nested(inner) => known_list(inner),
        Expr::Cast { expr, .. } => known_list(expr),
        Expr::Array(array) => array.elem.iter().map(literal).collect(),
        Expr::Function(function) => match last_of(&function.name).to_lowercase().as_str() {
            "current_schemas" => Some(vec!["pg_catalog".to_owned(), crate::query::SCHEMA.to_owned()]),
            "parse_ident" => {
                let name = literal(arguments(function).first()?)?;
                Some(name.split('.').map(|part| part.trim_matches('"').to_owned()).collect())
            }
            _ => None,
        },
        // '{a,b}'::text[], as drivers send a list of names.
        Expr::Value(_) => {
            let written = literal(list)?;
            written_list(&written)
        }
        _ => None,
    }
}

/// The members of `{a,"b,c"}`; `None` where it is anything but a flat list of texts.
fn written_list(written: &str) -> Option<Vec<String>> {
    let inside = written.trim().strip_prefix('{')?.strip_suffix('}')?;
    if inside.trim().is_empty() {
        return Some(Vec::new());
    }
    let mut items = Vec::new();
    let (mut item, mut was_quoted, mut is_quoted) = (String::new(), false, false);
    let end = |item: &mut String, was_quoted: &mut bool| {
        let whole = std::mem::take(item);
        if std::mem::take(was_quoted) {
            return Some(whole);
        }
        let plain = whole.trim();
        // A NULL is no text, and nothing is written without quotes as nothing.
        (!plain.is_empty() && !plain.eq_ignore_ascii_case("null")).then(|| plain.to_owned())
    };
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.push(letters.next()?),
            '"' if is_quoted => is_quoted = false,
            // Quotes are around a member, not within.
            '"' if was_quoted || !item.trim().is_empty() => return None,
            '"' => {
                item.clear();
                (is_quoted, was_quoted) = (true, true);
            }
            _ if is_quoted => item.push(letter),
            ',' => items.push(end(&mut item, &mut was_quoted)?),
            '{' | '}' => return None,
            _ if was_quoted && letter.is_whitespace() => {}
            _ if was_quoted => return None,
            _ => item.push(letter),
        }
    }
    if is_quoted {
        return None;
    }
    items.push(end(&mut item, &mut was_quoted)?);
    Some(items)
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => value.value.clone().into_string(),
        _ => None,
    }
}

fn texts(items: &[String]) -> Vec<Expr> {
    items.iter().map(|item| text(item)).collect()
}

fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let given = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    given.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// A cast to a type that only PostgreSQL has, in other words.
fn cast(inner: &Expr, to: &mut DataType) -> Option<Expr> {
    let name = match &*to {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => last_of(name).to_lowercase(),
        _ => return None,
    };
    match name.as_str() {
        "regclass" => Some(match literal(inner) {
            Some(relation) if relation.bytes().all(|byte| byte.is_ascii_digit()) => number(&relation),
            // A name that there is not gives no rows, where PostgreSQL would fail.
            Some(relation) => number(&catalogue::oid_of(&relation).unwrap_or(0).to_string()),
            None => call("pg_relation_name", inner.clone()),
        }),
        "regtype" => Some(match literal(inner) {
            Some(name) => number(&catalogue::type_oid_of(&name).unwrap_or(0).to_string()),
            None => call("pg_type_name", inner.clone()),
        }),
        "regproc" | "regprocedure" | "regoper" | "regoperator" | "regrole" | "regconfig" => {
            Some(literal(inner).map_or_else(
                || call("text", inner.clone()),
                |name| text(name.trim_start_matches("pg_catalog.")),
            ))
        }
        "regnamespace" => Some(match literal(inner) {
            Some(name) => number(&catalogue::namespace_oid(&name).to_string()),
            None => call("pg_namespace_name", inner.clone()),
        }),
        "oid" | "xid" | "cid" => {
            *to = DataType::IntUnsigned(None);
            None
        }
        "name"
        | "char"
        | "text"
        | "varchar"
        | "cstring"
        | "information_schema.sql_identifier"
        | "sql_identifier"
        | "character_data"
        | "yes_or_no" => {
            *to = DataType::Text;
            None
        }
        "int2" => {
            *to = DataType::SmallInt(None);
            None
        }
        "int4" | "cardinal_number" => {
            *to = DataType::Int(None);
            None
        }
        "int8" => {
            *to = DataType::BigInt(None);
            None
        }
        "bool" => {
            *to = DataType::Boolean;
            None
        }
        _ => None,
    }
}

fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

fn number(value: &str) -> Expr {
    Expr::value(Value::Number(value.to_owned(), false))
}

fn null() -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::Null)),
        data_type: DataType::Text,
        array: false,
        format: None,
    }
}

fn call(name: &str, argument: Expr) -> Expr {
    let args = FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
        clauses: Vec::new(),
    });
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

pub(super) fn last_of(name: &ObjectName) -> String {
    name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.clone()).unwrap_or_default()
}

/// The selects that a body is made of, side by side.
fn selects(body: &mut SetExpr) -> Vec<&mut Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::SetOperation { left, right, .. } => {
            let mut found = selects(left);
            found.extend(selects(right));
            found
        }
        _ => Vec::new(),
    }
}

impl Rewriter {
    /// The catalogue that a name means: one of PostgreSQL's by its schema or by its `pg_`, and no query around has that name for its own.
    fn of_catalogue(&self, name: &ObjectName) -> Option<String> {
        let parts: Option<Vec<String>> =
            name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.to_lowercase())).collect();
        let parts = parts?;
        match parts.as_slice() {
            [name] if name.starts_with("pg_") => {
                (!self.withs.iter().flatten().any(|own| own == name)).then(|| name.clone())
            }
            [.., schema, name] if matches!(schema.as_str(), "pg_catalog" | "information_schema") => {
                Some(name.clone())
            }
            _ => None,
        }
    }

    /// Whether a select reads, not by an outer join, a catalogue that has no rows here.
    fn is_surely_empty(&self, select: &Select) -> bool {
        // Nobody is granted single columns here.
        if select
            .selection
            .as_ref()
            .is_some_and(|condition| condition.to_string().contains("attacl IS NOT NULL"))
        {
            return true;
        }
        select.from.iter().any(|from| {
            let keeps_all = |operator: &JoinOperator| {
                matches!(
                    operator,
                    JoinOperator::Right(_)
                        | JoinOperator::RightOuter(_)
                        | JoinOperator::FullOuter(_)
                        | JoinOperator::RightAnti(_)
                )
            };
            let is_inner = |operator: &JoinOperator| {
                matches!(
                    operator,
                    JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
                )
            };
            if from.joins.iter().any(|join| keeps_all(&join.join_operator)) {
                return false;
            }
            self.reads_nothing(&from.relation)
                || from
                    .joins
                    .iter()
                    .any(|join| is_inner(&join.join_operator) && self.reads_nothing(&join.relation))
        })
    }

    /// A subquery that looks one thing up in the catalogues gives one row, which our planner wants to be told.
    fn of_one_row(&self, query: &mut Query) {
        let SetExpr::Select(select) = query.body.as_mut() else { return };
        let is_system = |relation: &TableFactor| match relation {
            TableFactor::Table { name, .. } => {
                self.of_catalogue(name).is_some_and(|name| catalogue::is_system_table(&name))
            }
            _ => false,
        };
        let reads_catalogues = !select.from.is_empty()
            && select.from.iter().all(|from| from.joins.is_empty() && is_system(&from.relation));
        if aggregates(select) || !reads_catalogues {
            return;
        }
        if let [SelectItem::UnnamedExpr(expr)] = select.projection.as_mut_slice() {
            *expr = call("first_value", expr.clone());
            query.order_by = None;
            query.limit_clause = None;
        }
    }

    fn is_empty_query(&self, query: &Query) -> bool {
        query.with.is_none()
            && matches!(query.body.as_ref(), SetExpr::Select(select) if self.is_surely_empty(select) && !aggregates(select))
    }

    fn reads_nothing(&self, relation: &TableFactor) -> bool {
        // Nothing here has options, nor their list members.
        if !matches!(relation, TableFactor::Derived { .. }) && relation.to_string().contains("reloptions") {
            return true;
        }
        match relation {
            TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
                self.of_catalogue(name).is_some_and(|name| catalogue::is_always_empty(&name))
            }
            TableFactor::Derived { subquery, .. } => self.is_empty_query(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                table_with_joins.joins.is_empty() && self.reads_nothing(&table_with_joins.relation)
            }
            _ => false,
        }
    }
}

/// Whether it gives a row although there are none to read.
fn aggregates(select: &Select) -> bool {
    const AGGREGATES: [&str; 8] = ["count", "sum", "min", "max", "avg", "string_agg", "array_agg", "bool_or"];
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    !grouped
        && select.projection.iter().any(|item| {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
                return false;
            };
            let shown = expr.to_string().to_lowercase();
            AGGREGATES.iter().any(|name| shown.contains(&format!("{name}(")))
        })
}

/// Makes the select one of NULLs under the same names, without rows; whether that could be done.
fn emptied(select: &mut Select) -> bool {
    let one_row = aggregates(select);
    let tables: HashMap<String, String> = tables_by_alias(select);
    let mut projection = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let Some(value) = of_no_rows(expr, one_row) else { return false };
                let alias = Ident::with_quote('"', name_of(expr));
                projection.push(SelectItem::ExprWithAlias { expr: value, alias });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let Some(value) = of_no_rows(expr, one_row) else { return false };
                projection.push(SelectItem::ExprWithAlias { expr: value, alias: alias.clone() });
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let Some(table) = tables.get(&last_of(name)) else { return false };
                projection.extend(catalogue::column_names(table).iter().map(|name| named_null(name)));
            }
            SelectItem::Wildcard(_) => {
                for table in tables.values() {
                    if catalogue::column_names(table).is_empty() {
                        return false;
                    }
                    projection.extend(catalogue::column_names(table).iter().map(|name| named_null(name)));
                }
            }
            SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => return false,
        }
    }
    if projection.is_empty() {
        projection.push(named_null("?column?"));
    }
    select.projection = projection;
    select.from = Vec::new();
    select.distinct = None;
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    select.having = None;
    select.selection = (!one_row).then(|| Expr::value(Value::Boolean(false)));
    tell_apart(select);
    true
}

/// What an expression is over no rows, where there is one row of it all the same: a count is 0, a sum is NULL. `None`: it is more than
/// that.
fn of_no_rows(expr: &Expr, one_row: bool) -> Option<Expr> {
    if !one_row {
        return Some(null());
    }
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => of_no_rows(inner, one_row),
        Expr::Function(function) => match last_of(&function.name).to_lowercase().as_str() {
            "count" => Some(number("0")),
            "sum" | "min" | "max" | "avg" | "string_agg" | "array_agg" | "bool_or" => Some(null()),
            _ => without_count(expr),
        },
        Expr::Value(_) => Some(expr.clone()),
        _ => without_count(expr),
    }
}

fn without_count(expr: &Expr) -> Option<Expr> {
    (!expr.to_string().to_lowercase().contains("count(")).then(null)
}

fn named_null(name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr: null(), alias: Ident::with_quote('"', name) }
}

fn tables_by_alias(select: &Select) -> HashMap<String, String> {
    let relations = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    relations
        .filter_map(|relation| match relation {
            TableFactor::Table { name, alias, .. } => {
                let table = last_of(name);
                Some((alias.as_ref().map_or_else(|| table.clone(), |alias| alias.name.value.clone()), table))
            }
            _ => None,
        })
        .collect()
}

/// Gives columns of one name, or of one text, names of their own: our planner wants that, PostgreSQL does not.
fn tell_apart(select: &mut Select) {
    let tables = tables_by_alias(select);
    let mut wildcards: Vec<&String> = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                wildcards.extend(tables.keys().find(|alias| **alias == last_of(name)));
            }
            SelectItem::Wildcard(_) => wildcards.extend(tables.keys()),
            _ => {}
        }
    }
    let of_wildcards: Vec<&str> =
        wildcards.iter().flat_map(|alias| catalogue::column_names(&tables[*alias])).collect();
    let mut seen: Vec<String> = Vec::new();
    for (idx, item) in select.projection.iter_mut().enumerate() {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.clone(), name_of(expr)),
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), alias.value.clone()),
            _ => continue,
        };
        let is_again = match (&*item, &expr) {
            (SelectItem::UnnamedExpr(_), Expr::CompoundIdentifier(parts)) => {
                let [.., table, _] = parts.as_slice() else { continue };
                wildcards.contains(&&table.value)
            }
            (SelectItem::ExprWithAlias { .. }, _) => of_wildcards.contains(&name.as_str()),
            _ => false,
        };
        let key = match item {
            // An expression is told by its text, a column by its name.
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(_) | Expr::Identifier(_)) => name.clone(),
            SelectItem::UnnamedExpr(expr) => expr.to_string(),
            _ => name.clone(),
        };
        if is_again || seen.contains(&key) {
            let alias = Ident::with_quote('"', format!("{TWICE}{idx}{TWICE}{name}"));
            *item = SelectItem::ExprWithAlias { expr, alias };
        } else {
            seen.push(key);
        }
    }
}
