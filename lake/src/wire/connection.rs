//! What a connection says and hears: its sign-in, its settings, its statements, one after the other.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{DiscardObject, Statement};
use futures::{Sink, SinkExt, StreamExt, stream};
use pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::portal::Format;
use pgwire::api::query::SimpleQueryHandler;
use pgwire::api::results::{CopyResponse, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionManager, METADATA_USER, PgWireConnectionState,
    PidSecretKeyGenerator, RandomPidSecretKeyGenerator, Type,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::copy::CopyData;
use pgwire::messages::startup::{Authentication, ParameterStatus};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cursors::Cursors;
use super::form::Form;
use super::question::{Asker, Question, questions};
use super::settings::{Changed, Settings, VERSION};
use super::{Admitted, Door, Refused, encode};
use crate::access::Access;
use crate::query::Engine;
use crate::{LakeError, QueryResult};

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
    pub(super) settings: Settings,
    /// Names of prepared statements with the bytes of their SQL.
    pub(super) statements: HashMap<String, usize>,
    pub(super) portals: HashSet<String>,
    /// The rights with which each portal began to give rows.
    pub(super) begun_as: HashMap<String, Access>,
    pub(super) cursors: Cursors,
    /// Between BEGIN and its end.
    pub(super) in_transaction: bool,
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
            cursors: Cursors::default(),
            in_transaction: false,
        }
    }
}

/// What the protocol calls: the connection, with a name for it that can be handed on.
pub(super) struct Handlers(pub(super) Arc<Connection>);

fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.into())))
}

pub(super) fn error(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.into())))
}

/// The lake's error with the code that PostgreSQL has for its like (appendix A of its manual).
pub(super) fn of_lake(why: LakeError) -> PgWireError {
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
    pub(super) fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who asks, with the rights of this moment.
    pub(super) async fn asker(&self) -> PgWireResult<Asker> {
        let (admitted, settings) = self.state(|state| (state.admitted.clone(), state.settings.clone()));
        let Some(admitted) = admitted else { return Err(fatal("28000", "sign in first")) };
        match self.door.still(&admitted).await {
            Some(access) => Ok(Asker { name: admitted.name, access, settings }),
            None => Err(fatal("57P01", "your access has ended; sign in again")),
        }
    }

    /// Carries out a statement about the session itself; `None`: it is about something else.
    pub(super) fn apply(&self, question: &Question) -> Option<PgWireResult<Applied>> {
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

    /// Ends all portals and cursors, as a transaction does at its end; cursors WITH HOLD stay.
    fn close_portals(&self, store: &impl PortalStore) {
        for name in self.state(|state| std::mem::take(&mut state.portals)) {
            store.rm_portal(&name);
        }
        self.state(|state| state.cursors.end_transaction());
    }

    /// Carries out a statement about the session itself, and tells the client what it has to know; `None`: it is about something else.
    pub(super) async fn carry_out<C>(
        &self,
        client: &mut C,
        question: &Question,
    ) -> PgWireResult<Option<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let Some(applied) = self.apply(question) else { return Ok(None) };
        let (response, told) = applied?;
        self.forget(client.portal_store(), question);
        match &response {
            Response::TransactionStart(_) => self.state(|state| state.in_transaction = true),
            Response::TransactionEnd(_) => {
                self.state(|state| state.in_transaction = false);
                self.close_portals(client.portal_store());
            }
            _ => {}
        }
        if matches!(&question.statement, Statement::Discard { object_type: DiscardObject::ALL }) {
            self.close_portals(client.portal_store());
            self.state(|state| state.cursors.close_all());
        }
        if let Some((name, value)) = told {
            client.feed(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))).await?;
        }
        Ok(Some(response))
    }

    /// The answer of a statement, in the form that it asks for.
    pub(super) async fn respond(
        self: &Arc<Self>,
        question: &Question,
        asker: &Asker,
        values: &[ScalarValue],
        format: &Format,
    ) -> PgWireResult<(Response, usize)> {
        if let Some(responded) = self.of_cursor(question, asker, format)? {
            return Ok(responded);
        }
        let result = question.ask(&self.engine, asker, values).await.map_err(of_lake)?;
        let bytes = bytes_of(&result);
        if let Form::Declare { name, is_held } = &question.form {
            return Ok((self.declare(name, *is_held, result, question, asker.access)?, 0));
        }
        Ok((self.answer(result, question, format)?, bytes))
    }

    /// The right to hold an answer.
    pub(super) fn reserve(&self, result: &QueryResult) -> PgWireResult<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes_of(result).div_ceil(1024)).unwrap_or(u32::MAX);
        self.held.clone().try_acquire_many_owned(kib).map_err(|_| {
            error("53200", "too many answers are held at once; fetch or close others, or try again")
        })
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
        let held = Arc::new(self.reserve(&result)?);
        let Form::Copy(copy) = &question.form else {
            return Ok(Response::Query(given(result, &question.labels, format, Some(held))));
        };
        let labels = checked(&question.labels, result.columns.len());
        let names: Vec<String> = encode::fields(result.schema.fields().iter(), &labels, &Format::UnifiedText)
            .iter()
            .map(|field| field.name().to_owned())
            .collect();
        let (forced, copy) = (copy.forced(&names), copy.clone());
        let mut header = copy.header(&names);
        if result.n_rows() == 0 {
            let line = stream::iter(header.map(|line| Ok(CopyData::new(line))));
            return Ok(Response::CopyOut(CopyResponse::new(0, names.len(), line)));
        }
        let n_columns = names.len();
        let rows = given(result, &[], &Format::UnifiedText, Some(held)).data_rows;
        let lines = rows.map(move |row| {
            let line = copy.line(&row?, &forced).map_err(|why| error("XX000", why.to_string()))?;
            // With the first row: messages are counted as rows.
            Ok(CopyData::new(match header.take() {
                Some(header) => Bytes::from([header.as_ref(), line.as_ref()].concat()),
                None => line,
            }))
        });
        Ok(Response::CopyOut(CopyResponse::new(0, n_columns, lines)))
    }
}

/// The rows of a result, each made when it is sent. `held` is given back when the last one is sent or the portal is closed.
pub(super) fn given(
    result: QueryResult,
    labels: &[Option<String>],
    format: &Format,
    held: Option<Arc<OwnedSemaphorePermit>>,
) -> QueryResponse {
    let labels = checked(labels, result.columns.len());
    let fields = encode::fields(result.schema.fields().iter(), &labels, format);
    let formats: Vec<FieldFormat> = fields.iter().map(FieldInfo::format).collect();
    let rows = stream::iter(result.batches).flat_map(move |batch: RecordBatch| {
        let _ = &held;
        match encode::rows(&batch, &formats) {
            Ok(rows) => {
                stream::iter(rows.map(|row| row.map_err(|why| error("22003", why.to_string())))).left_stream()
            }
            Err(why) => stream::iter([Err(error("22003", why.to_string()))]).right_stream(),
        }
    });
    QueryResponse::new(Arc::new(fields), rows)
}

pub(super) fn bytes_of(result: &QueryResult) -> usize {
    result.batches.iter().map(RecordBatch::get_array_memory_size).sum()
}

/// Refuses a name that is too long to be kept.
pub(super) fn check_name(name: Option<&str>) -> PgWireResult<()> {
    if name.is_some_and(|name| name.len() > NAME_LETTERS_MAX) {
        return Err(error("42622", format!("a name has at most {NAME_LETTERS_MAX} letters")));
    }
    Ok(())
}

/// The names of a statement's columns, if there are as many as columns.
pub(super) fn checked(labels: &[Option<String>], n_columns: usize) -> Vec<Option<String>> {
    if labels.len() == n_columns { labels.to_vec() } else { Vec::new() }
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
            if let Some(response) = self.0.carry_out(client, question).await? {
                asker.settings = self.0.state(|state| state.settings.clone());
                answers.push(response);
                continue;
            }
            let (response, size) = self.0.respond(question, &asker, &[], &Format::UnifiedText).await?;
            // The answers of one message are held together until all of them are there.
            bytes = bytes.saturating_add(size);
            self.0.engine.check_size(bytes).map_err(of_lake)?;
            answers.push(response);
        }
        Ok(answers)
    }
}
