//! The console of a process, and SQL for programs beside it.

use std::sync::Arc;

use exports::Streams;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::error;

use crate::config::SftpSection;
use crate::fraud_watch::RuleBook;
use crate::sql_door::SqlDoor;
use crate::system::System;
use crate::system::opening::of_lake;
use crate::{
    balance_sheet, billing, billing_desk, downloads, figures, provisioning_desk, resubmit, rule_desk,
    shadow_desk, suspense_record, tariff_desk,
};

/// What the console shows of partners and streams.
fn exchange_of(sftp: &SftpSection, streams: &Streams) -> web::Exchange {
    let partners = sftp.users.iter().map(|user| web::Partner {
        name: user.name.clone(),
        folder: user.folder_name(),
        fetch_within_hours: user.fetch_within.map(|within| within.as_secs() / 3_600),
        networks: user.networks.iter().map(ToString::to_string).collect(),
        may: [(user.exchange, "exchange"), (user.may_delete, "delete"), (user.may_rename, "rename")]
            .into_iter()
            .filter_map(|(may, word)| may.then_some(word))
            .collect(),
    });
    let edr = streams.edr().map(|(stream, _)| stream);
    let streams = streams.iter().chain(edr).map(|stream| {
        let (key, shared) = (stream.config.name.clone(), Arc::new(stream.clone()));
        web::StreamDesk {
            name: if key.is_empty() { "main".to_owned() } else { key.clone() },
            key,
            format: stream.config.format.clone(),
            owners: stream.config.owners.clone(),
            due_after: Arc::new(move |ran_at| shared.due_after(ran_at)),
        }
    });
    web::Exchange { partners: partners.collect(), streams: streams.collect() }
}

impl System {
    /// The console, and SQL for programs beside it: one count of wrong passwords serves both.
    pub(super) fn start_web(
        &mut self,
        web_listener: TcpListener,
        book: Arc<RuleBook>,
        sql_listener: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        let passwords = web::Passwords::new(
            self.rooms.store.clone(),
            self.rooms.clock.shared(),
            self.config.web.second_factor.clone(),
        );
        if let Some(listener) = sql_listener {
            self.start_sql(listener, passwords.clone())?;
        }
        let (figures, current) = watch::channel(web::Figures::default());
        self.tasks.push(tokio::spawn(figures::run(
            self.rooms.clone(),
            self.stats.clone(),
            self.consumers.clone(),
            figures,
            self.stop_rest.clone(),
        )));
        let known = self.rooms.directory.clone();
        let desk = web::Desk {
            store: self.rooms.store.clone(),
            lake: self.lake.clone(),
            directory: Arc::new(move || known.current()),
            resubmit_refusal: resubmit::refusal,
            record_said: suspense_record::said_by,
            record_changed: suspense_record::changed,
            exchange: exchange_of(&self.config.sftp, &self.streams),
            rules: rule_desk::desk(
                book,
                self.config.fraud.rules.clone(),
                self.lake.clone(),
                self.rooms.store.clone(),
                self.rooms.directory.clone(),
            ),
            provisioning: provisioning_desk::desk(self.rooms.clone(), self.config.switch.clone()),
            tariffs: tariff_desk::desk(&self.rooms, self.lake.clone()),
            shadow: shadow_desk::desk(&self.rooms, self.lake.clone()),
            billing: billing_desk::desk(
                self.rooms.clone(),
                self.lake.clone(),
                self.consumers.clone(),
                billing::PATIENCE,
            ),
            balances: balance_sheet::desk(&self.rooms, self.config.bus.partitions()),
            download: downloads::desk(self.rooms.store.clone(), self.rooms.clock.clone()),
            figures: current,
            passwords,
            limits: web::RequestLimits {
                requests_per_minute: self.config.web.requests_per_minute,
                sign_ins_per_minute: self.config.web.sign_ins_per_minute,
            },
            is_behind_tls: self.config.web.behind_tls,
            clock: self.rooms.clock.shared(),
        };
        let serving = web::serve(desk, web_listener, self.stop_rest.clone().cancelled_owned());
        self.tasks.push(tokio::spawn(async move {
            if let Err(why) = serving.await {
                error!(error = %why, "the console has stopped");
            }
        }));
        Ok(())
    }

    fn start_sql(&mut self, listener: TcpListener, passwords: web::Passwords) -> anyhow::Result<()> {
        let config = lake::wire::WireConfig::of(&self.config.lake);
        let door = Arc::new(SqlDoor { passwords, store: self.rooms.store.clone() });
        let server = lake::wire::WireServer::new(&self.lake, door, &config).map_err(of_lake)?;
        let stop = self.stop_rest.clone();
        self.tasks.push(tokio::spawn(async move {
            server.serve(listener, stop.cancelled_owned()).await;
        }));
        Ok(())
    }
}
