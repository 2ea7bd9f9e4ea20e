//! What a connection says and hears: its sign-in, its settings, its statements, one after the other.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement;
use futures::{Sink, SinkExt, StreamExt, stream};
use pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionManager, DEFAULT_NAME, METADATA_USER, PgWireConnectionState,
    PidSecretKeyGenerator, RandomPidSecretKeyGenerator, Type,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Execute, Parse, ParseComplete, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::startup::{Authentication, ParameterStatus};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::sync::Semaphore;

use super::parameters::value_of;
use super::question::{Asker, Described, Question, questions};
use super::settings::{Changed, Settings, VERSION};
use super::{Admitted, Door, Refused, encode};
use crate::access::Access;
use crate::query::Engine;
use crate::{LakeError, QueryResult};

/// Prepared statements with a name that one connection may keep.
const STATEMENTS_MAX: usize = 1_000;
/// Bytes of their SQL in all.
const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Portals with a name: each may hold an answer.
const PORTALS_MAX: usize = 4;
/// Letters of the name of a prepared statement or of a portal.
const NAME_LETTERS_MAX: usize = 256;

/// One connection.
pub(super) struct Connection {
    pub(super) engine: Arc<Engine>,
    pub(super) door: Arc<dyn Door>,
    pub(super) manager: Arc<ConnectionManager>,
    /// Numbers and secrets by which clients ask that a statement be stopped.
    pub(super) keys: Arc<RandomPidSecretKeyGenerator>,
    /// Whether passwords may be asked for: over TLS, or from this machine itself.
    pub(super) is_private: bool,
    /// Whether there are more connections than there may be.
    pub(super) is_one_too_many: bool,
    /// KiB of answers that all connections together may still hold.
    pub(super) held: Arc<Semaphore>,
    pub(super) state: Mutex<State>,
}

/// What changes.
pub(super) struct State {
    admitted: Option<Admitted>,
    settings: Settings,
    /// Names of prepared statements with the bytes of their SQL.
    statements: HashMap<String, usize>,
    portals: HashSet<String>,
    /// The rights with which each portal began to give rows.
    begun_as: HashMap<String, Access>,
}

/// The answer to a statement about the session, and the setting that the client is told of, with its value.
type Applied = (Response, Option<(String, String)>);

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            admitted: None,
            settings,
            statements: HashMap::new(),
            portals: HashSet::new(),
            begun_as: HashMap::new(),
        }
    }
}

/// What the protocol calls: the connection, with a name for it that can be handed on.
pub(super) struct Handlers(pub(super) Arc<Connection>);

/// A statement that was prepared: what it is, and what its answer will look like.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    question: Question,
    described: Described,
}

fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.into())))
}

fn error(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.into())))
}

/// The lake's error with the code that PostgreSQL has for its like (appendix A of its manual).
fn of_lake(why: LakeError) -> PgWireError {
    let code = match &why {
        LakeError::ReadOnlySql { .. } => "25006",
        LakeError::UnknownTable { .. } => "42P01",
        LakeError::UnknownColumn { .. } => "42703",
        LakeError::Sql { .. } => "42601",
        LakeError::QueryTooLarge { .. } => "53200",
        LakeError::ResultTooLarge { .. } => "54000",
        LakeError::QueryTooSlow { .. } => "57014",
        LakeError::Moving { .. } => "40001",
        LakeError::NoLake { .. } => "55000",
        _ => "XX000",
    };
    if code == "XX000" {
        tracing::error!(error = %why, code = why.code(), "a statement over the PostgreSQL protocol failed");
    }
    let mut info = ErrorInfo::new("ERROR".to_owned(), code.to_owned(), why.to_string());
    info.detail = Some(why.code().to_owned());
    PgWireError::UserError(Box::new(info))
}

impl Connection {
    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who asks, with the rights of this moment.
    async fn asker(&self) -> PgWireResult<Asker> {
        let (admitted, settings) = self.state(|state| (state.admitted.clone(), state.settings.clone()));
        let Some(admitted) = admitted else { return Err(fatal("28000", "sign in first")) };
        match self.door.still(&admitted).await {
            Some(access) => Ok(Asker { name: admitted.name, access, settings }),
            None => Err(fatal("57P01", "your access has ended; sign in again")),
        }
    }

    /// Carries out a statement about the session itself; `None`: it is about something else.
    fn apply(&self, question: &Question) -> Option<PgWireResult<Applied>> {
        let changed = self.state(|state| state.settings.apply(&question.statement))?;
        Some(match changed {
            Err(why) => Err(error("22023", why)),
            Ok(Changed::Done(tag)) => Ok((Response::Execution(Tag::new(tag)), self.reported(question))),
            Ok(Changed::Begun) => Ok((Response::TransactionStart(Tag::new("BEGIN")), None)),
            Ok(Changed::Over(tag)) => Ok((Response::TransactionEnd(Tag::new(tag)), None)),
            Ok(Changed::Shown(name, value)) => Ok((shown(&name, &value), None)),
        })
    }

    /// The setting that clients are told of when it changes, by a statement that changes it.
    fn reported(&self, question: &Question) -> Option<(String, String)> {
        const REPORTED: [(&str, &str); 7] = [
            ("application_name", "application_name"),
            ("client_encoding", "client_encoding"),
            ("datestyle", "DateStyle"),
            ("intervalstyle", "IntervalStyle"),
            ("search_path", "search_path"),
            ("standard_conforming_strings", "standard_conforming_strings"),
            ("timezone", "TimeZone"),
        ];
        let text = question.statement.to_string().to_lowercase();
        let (name, told) = REPORTED
            .into_iter()
            .find(|(name, _)| text.contains(name) || (*name == "timezone" && text.contains("time zone")))?;
        Some((told.to_owned(), self.state(|state| state.settings.value_of(name))?))
    }

    /// Prepared statements that a DEALLOCATE names.
    fn forget(&self, store: &impl PortalStore, question: &Question) {
        let Statement::Deallocate { name, .. } = &question.statement else { return };
        let all = name.value.eq_ignore_ascii_case("all") && name.quote_style.is_none();
        let forgotten: Vec<String> = self.state(|state| {
            let is_gone = |kept: &String, _: &mut usize| all || *kept == name.value;
            state.statements.extract_if(is_gone).map(|(name, _)| name).collect()
        });
        for name in forgotten {
            store.rm_statement(&name);
        }
    }

    /// Ends all portals, as a transaction does at its end.
    fn close_portals(&self, store: &impl PortalStore) {
        for name in self.state(|state| std::mem::take(&mut state.portals)) {
            store.rm_portal(&name);
        }
    }

    async fn sign_in(&self, name: &str, password: &str) -> PgWireResult<()> {
        match self.door.admit(name, password).await {
            Ok(admitted) => {
                self.state(|state| state.admitted = Some(admitted));
                Ok(())
            }
            Err(Refused::WrongPassword) => Err(fatal("28P01", "name or password is wrong")),
            Err(Refused::Wait { seconds }) => {
                Err(fatal("28P01", format!("too many attempts; try again in {seconds} seconds")))
            }
            Err(Refused::NoRight) => Err(fatal("28000", "your role may not ask in SQL")),
            Err(Refused::NotEnrolled) => Err(fatal(
                "28000",
                "your role needs a second factor; sign in to the console once, which sets it up, and write its code behind the password",
            )),
            Err(Refused::Failed(why)) => {
                tracing::error!(error = %why, "a sign-in over the PostgreSQL protocol failed");
                Err(fatal("XX000", "the sign-in failed on our side; try again"))
            }
        }
    }

    fn answer(&self, result: QueryResult, question: &Question, format: &Format) -> PgWireResult<Response> {
        let bytes: usize = result.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let Ok(held) = self.held.clone().try_acquire_many_owned(kib) else {
            return Err(error(
                "53200",
                "too many answers are held at once; fetch or close others, or try again",
            ));
        };
        let fields =
            encode::fields(result.schema.fields().iter(), &checked(question, result.columns.len()), format);
        let formats: Vec<FieldFormat> = fields.iter().map(FieldInfo::format).collect();
        let rows = stream::iter(result.batches).flat_map(move |batch: RecordBatch| {
            // Given back when the last row is sent or the portal is closed.
            let _ = &held;
            match encode::rows(&batch, &formats) {
                Ok(rows) => stream::iter(rows.map(|row| row.map_err(|why| error("22003", why.to_string()))))
                    .left_stream(),
                Err(why) => stream::iter([Err(error("22003", why.to_string()))]).right_stream(),
            }
        });
        Ok(Response::Query(QueryResponse::new(Arc::new(fields), rows)))
    }
}

/// Refuses a name that is too long to be kept.
fn check_name(name: Option<&str>) -> PgWireResult<()> {
    if name.is_some_and(|name| name.len() > NAME_LETTERS_MAX) {
        return Err(error("42622", format!("a name has at most {NAME_LETTERS_MAX} letters")));
    }
    Ok(())
}

/// The names of a statement's columns, if there are as many as columns.
fn checked(question: &Question, n_columns: usize) -> Vec<Option<String>> {
    if question.labels.len() == n_columns { question.labels.clone() } else { Vec::new() }
}

/// One row with one text.
fn shown(name: &str, value: &str) -> Response {
    use bytes::{BufMut, BytesMut};
    let field = FieldInfo::new(name.to_owned(), None, None, Type::TEXT, FieldFormat::Text);
    let mut data = BytesMut::new();
    data.put_i32(i32::try_from(value.len()).unwrap_or(0));
    data.put_slice(value.as_bytes());
    let row = pgwire::messages::data::DataRow::new(data, 1);
    let mut response = QueryResponse::new(Arc::new(vec![field]), stream::iter([Ok(row)]));
    response.set_command_tag("SHOW");
    Response::Query(response)
}

/// What a client is told of the server as it comes in.
struct Told(HashMap<String, String>);

impl ServerParameterProvider for Told {
    fn server_parameters<C: ClientInfo>(&self, _: &C) -> Option<HashMap<String, String>> {
        Some(self.0.clone())
    }
}

impl Connection {
    fn told(&self, name: &str) -> Told {
        let mut told: HashMap<String, String> = [
            ("server_version", VERSION),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
            ("is_superuser", "off"),
            ("in_hot_standby", "off"),
            ("default_transaction_read_only", "on"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        told.insert("session_authorization".to_owned(), name.to_owned());
        if let Some(application) = self.state(|state| state.settings.value_of("application_name")) {
            told.insert("application_name".to_owned(), application);
        }
        Told(told)
    }

    /// Settings that a client brings with it.
    fn take_settings(&self, given: &HashMap<String, String>) {
        self.state(|state| {
            for (name, value) in given {
                // What it cannot be set to stays as it is; PostgreSQL would refuse the connection.
                if !matches!(name.as_str(), "user" | "database" | "options" | "replication") {
                    let _ = state.settings.set(name, value);
                }
            }
            // PGOPTIONS="-c statement_timeout=5s"
            for option in given.get("options").into_iter().flat_map(|options| options.split("-c")) {
                if let Some((name, value)) = option.trim().trim_start_matches('-').split_once('=') {
                    let _ = state.settings.set(name.trim(), value.trim());
                }
            }
        });
    }
}

#[async_trait]
impl StartupHandler for Handlers {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(ref startup) => {
                protocol_negotiation(client, startup).await?;
                save_startup_parameters_to_metadata(client, startup);
                self.0.take_settings(client.metadata());
                if self.0.is_one_too_many {
                    return Err(fatal(
                        "53300",
                        "too many connections; lake.pg_connections_max says how many",
                    ));
                }
                if !self.0.is_private {
                    return Err(fatal(
                        "28000",
                        "passwords are taken over TLS alone; connect with sslmode=require",
                    ));
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let ask = PgWireBackendMessage::Authentication(Authentication::CleartextPassword);
                client.send(ask).await?;
                Ok(())
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                let password = message.into_password()?;
                let name = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                self.0.sign_in(&name, &password.password).await?;
                let (pid, secret) = self.0.keys.generate(&*client);
                client.set_pid_and_secret_key(pid, secret.clone());
                let (handle, guard) = self.0.manager.register(pid, secret);
                client.session_extensions().insert(handle);
                client.session_extensions().insert(guard);
                finish_authentication(client, &self.0.told(&name)).await
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl SimpleQueryHandler for Handlers {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut asker = self.0.asker().await?;
        let asked = questions(query, &asker.name).map_err(of_lake)?;
        if asked.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut answers = Vec::with_capacity(asked.len());
        let mut bytes = 0_usize;
        for question in &asked {
            if let Some(applied) = self.0.apply(question) {
                let (response, told) = applied?;
                self.0.forget(client.portal_store(), question);
                if matches!(response, Response::TransactionEnd(_)) {
                    self.0.close_portals(client.portal_store());
                }
                tell(client, told).await?;
                asker.settings = self.0.state(|state| state.settings.clone());
                answers.push(response);
                continue;
            }
            let result = question.ask(&self.0.engine, &asker, &[]).await.map_err(of_lake)?;
            // The answers of one message are held together until all of them are there.
            bytes = bytes.saturating_add(result.batches.iter().map(RecordBatch::get_array_memory_size).sum());
            self.0.engine.check_size(bytes).map_err(of_lake)?;
            answers.push(self.0.answer(result, question, &Format::UnifiedText)?);
        }
        Ok(answers)
    }
}

async fn tell<C>(client: &mut C, told: Option<(String, String)>) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    if let Some((name, value)) = told {
        client.feed(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))).await?;
    }
    Ok(())
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
            question.describe(&self.engine, &asker).await.map_err(of_lake)?
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
        let labels = checked(&prepared.question, prepared.described.columns.len());
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

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
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
        let prepared = &portal.statement.statement;
        if let Some(applied) = connection.apply(&prepared.question) {
            let (response, told) = applied?;
            connection.forget(client.portal_store(), &prepared.question);
            if matches!(response, Response::TransactionEnd(_)) {
                connection.close_portals(client.portal_store());
            }
            tell(client, told).await?;
            return Ok(response);
        }
        let asker = connection.asker().await?;
        let values = values(portal)?;
        let result = prepared.question.ask(&connection.engine, &asker, &values).await.map_err(of_lake)?;
        connection.answer(result, &prepared.question, &portal.result_column_format)
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
