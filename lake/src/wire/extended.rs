//! Statements that are prepared, bound and executed step by step, as drivers do it.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement;
use futures::{Sink, SinkExt};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, send_describe_response};
use pgwire::api::results::{DescribePortalResponse, FieldInfo, Response};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};

use super::connection::{Connection, Handlers, check_name, checked, error, of_lake};
use super::encode;
use super::form::Form;
use super::parameters::value_of;
use super::question::{Described, Question, questions};

/// Prepared statements with a name that one connection may keep.
const STATEMENTS_MAX: usize = 1_000;
/// Bytes of their SQL in all.
const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Portals with a name: each may hold an answer.
pub(super) const PORTALS_MAX: usize = 4;
/// Rows that are given at a time at most; who asks for more is given all of them.
const ROWS_ASKED_MAX: i32 = 1_000_000;

/// A statement that was prepared: what it is, and what its answer will look like.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    question: Question,
    described: Described,
}

#[async_trait]
impl QueryParser for Connection {
    type Statement = Prepared;

    async fn parse_sql<C>(&self, _: &C, sql: &str, types: &[Option<Type>]) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let asker = self.asker().await?;
        let mut asked = questions(sql, &asker.name).map_err(of_lake)?;
        let (Some(question), None) = (asked.pop(), asked.pop()) else {
            if sql.trim().is_empty() {
                return Ok(None);
            }
            return Err(error("42601", "a prepared statement is one statement"));
        };
        let mut described = if self.state(|state| state.settings.clone()).apply(&question.statement).is_some()
        {
            session_statement(&question)
        } else {
            match &question.form {
                Form::Fetch { name, .. } => {
                    Described { columns: self.columns_of_cursor(name), parameters: Vec::new() }
                }
                Form::Close { .. } => Described { columns: Vec::new(), parameters: Vec::new() },
                Form::Rows => question.describe(&self.engine, &asker).await.map_err(of_lake)?,
                // Its rows are not those of the statement.
                Form::Copy(_) | Form::Declare { .. } => {
                    let described = question.describe(&self.engine, &asker).await.map_err(of_lake)?;
                    Described { columns: Vec::new(), ..described }
                }
            }
        };
        // What the client says of a parameter's type is how it sends it, whatever the plan makes of it.
        if described.parameters.len() < types.len() {
            described.parameters.resize(types.len(), None);
        }
        Ok(Some(Prepared { question, described }))
    }

    fn get_parameter_types(&self, prepared: &Prepared) -> PgWireResult<Vec<Type>> {
        let of = |planned: &Option<_>| planned.as_ref().map_or(Type::TEXT, encode::wire_type);
        Ok(prepared.described.parameters.iter().map(of).collect())
    }

    fn get_result_schema(
        &self,
        prepared: &Prepared,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let labels = checked(&prepared.question.labels, prepared.described.columns.len());
        let format = format.unwrap_or(&Format::UnifiedText);
        Ok(encode::fields(prepared.described.columns.iter(), &labels, format))
    }
}

/// The look of a statement about the session: one text for SHOW, nothing for others.
fn session_statement(question: &Question) -> Described {
    let columns = match &question.statement {
        Statement::ShowVariable { variable } => {
            let name = variable.iter().map(|word| word.value.to_lowercase()).collect::<Vec<_>>().join("_");
            vec![Arc::new(Field::new(name, DataType::Utf8, true))]
        }
        _ => Vec::new(),
    };
    Described { columns, parameters: Vec::new() }
}

#[async_trait]
impl ExtendedQueryHandler for Handlers {
    type Statement = Prepared;
    type QueryParser = Connection;

    fn query_parser(&self) -> Arc<Connection> {
        self.0.clone()
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let parser = self.query_parser();
        let name = message.name.clone();
        check_name(name.as_deref())?;
        let is_full = name.as_ref().is_some_and(|name| {
            self.0.state(|state| {
                let others = state.statements.iter().filter(|(other, _)| *other != name);
                let (count, bytes) = others
                    .fold((0, message.query.len()), |(count, sum), (_, bytes)| (count + 1, sum + bytes));
                count >= STATEMENTS_MAX || bytes > STATEMENT_BYTES_MAX
            })
        });
        if is_full {
            return Err(error(
                "53000",
                format!(
                    "there are {STATEMENTS_MAX} prepared statements or {STATEMENT_BYTES_MAX} bytes of them; close some"
                ),
            ));
        }
        let bytes = message.query.len();
        match StoredStatement::parse(client, &message, parser).await? {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(name.as_deref().unwrap_or(DEFAULT_NAME)),
        }
        self.0.state(|state| state.statements.extend(name.map(|name| (name, bytes))));
        client.send(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?;
        Ok(())
    }

    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // To PostgreSQL a cursor is a portal.
        let is_portal = message.target_type == TARGET_TYPE_BYTE_PORTAL;
        let name = message.name.as_deref().filter(|_| is_portal);
        if let Some(fields) = name.and_then(|name| self.0.fields_of_cursor(name)) {
            return send_describe_response(client, &DescribePortalResponse::new(fields)).await;
        }
        self._on_describe(client, message).await
    }

    async fn on_execute<C>(&self, client: &mut C, mut message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // A portal that goes on gives rows by the rights of its beginning: it ends with them.
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let access = self.0.asker().await?.access;
        if let Some(Entry::Value(portal)) = client.portal_store().get_portal(name) {
            let is_new = matches!(*portal.state().lock().await, PortalExecutionState::Initial);
            let begun_as = self.0.state(|state| {
                if is_new {
                    state.begun_as.insert(name.to_owned(), access);
                }
                state.begun_as.get(name).copied()
            });
            if begun_as.is_some_and(|begun_as| begun_as != access) {
                return Err(error("34000", "your rights have changed; ask again"));
            }
        }
        // Room for as many rows as are asked for is made at once, whatever there are.
        if !(0..=ROWS_ASKED_MAX).contains(&message.max_rows) {
            message.max_rows = 0;
        }
        self._on_execute(client, message).await
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let Some(Entry::Value(statement)) = client.portal_store().get_statement(name) else {
            return Err(PgWireError::StatementNotFound(name.to_owned()));
        };
        check_name(message.portal_name.as_deref())?;
        if let Some(portal) = &message.portal_name {
            let is_full =
                self.0.state(|state| !state.portals.contains(portal) && state.portals.len() >= PORTALS_MAX);
            if is_full {
                return Err(error(
                    "53000",
                    format!("a connection has {PORTALS_MAX} open portals; close some"),
                ));
            }
        }
        let portal = Portal::try_new(&message, statement)?;
        client.portal_store().put_portal(Arc::new(portal));
        self.0.state(|state| state.portals.extend(message.portal_name));
        client.send(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            client.portal_store().rm_statement(name);
            self.0.state(|state| state.statements.remove(name));
        } else {
            client.portal_store().rm_portal(name);
            self.0.state(|state| (state.portals.remove(name), state.begun_as.remove(name)));
        }
        client.send(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?;
        Ok(())
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Prepared>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let connection = &self.0;
        let question = &portal.statement.statement.question;
        if let Some(response) = connection.carry_out(client, question).await? {
            return Ok(response);
        }
        let asker = connection.asker().await?;
        let values = values(portal)?;
        let responded = connection.respond(question, &asker, &values, &portal.result_column_format).await?;
        Ok(responded.0)
    }
}

/// The parameters of a portal.
fn values(portal: &Portal<Prepared>) -> PgWireResult<Vec<ScalarValue>> {
    let planned = &portal.statement.statement.described.parameters;
    if portal.parameters.len() < planned.len() {
        return Err(error("08P01", format!("the statement has {} parameters", planned.len())));
    }
    let is_binary = |idx: usize| match &portal.parameter_format {
        Format::UnifiedText => false,
        Format::UnifiedBinary => true,
        Format::Individual(codes) => codes.get(idx) == Some(&1),
    };
    let value = |(idx, bytes): (usize, &Option<bytes::Bytes>)| {
        let declared = portal.statement.parameter_types.get(idx).and_then(Option::as_ref);
        let planned = planned.get(idx).and_then(Option::as_ref);
        value_of(bytes.as_ref(), is_binary(idx), declared, planned)
            .map_err(|why| error("22P02", format!("${}: {why}", idx + 1)))
    };
    portal.parameters.iter().enumerate().map(value).collect()
}
