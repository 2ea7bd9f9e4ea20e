//! What one process does for all, again and again: ticks, retention, CDR files, billing, mail, webhooks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use notify::{Mailer, WebhookSender};
use tracing::error;

use crate::backup::order::BackupDesk;
use crate::retention::Keeper;
use crate::system::System;
use crate::webhook_queue::WebhookQueue;
use crate::{
    alarms, backup, billing, event_writer, export_files, import_feed, mail_queue, provisioning_feed,
    resubmit, topup_feed,
};

/// How often waiting words for webhooks are looked for.
const WEBHOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often old words for webhooks are forgotten.
const WEBHOOK_FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// How often the event log may forget.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked whether files are due or full.
const EXPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked for files whose copies of calls may leave the database, and at how many files: 144,000 a day.
const DROP_COPIES_INTERVAL: Duration = Duration::from_secs(60);
const DROP_COPIES_FILES: u32 = 100;

/// How often it is looked whether suspended records are to be sent in again, and imported ones and changes to be put on the bus.
const RESUBMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether somebody topped up.
const TOP_UP_INTERVAL: Duration = Duration::from_millis(500);

impl System {
    /// Ticks and retention of the log, backups, and what else one process does for all.
    pub(super) fn start_desks(&mut self, mailer: Mailer, webhooks: WebhookSender) {
        if let Some(leases) = &mut self.leases {
            self.on_duty = leases.desk();
        }
        let rooms = self.rooms.clone();
        self.every(self.config.pipeline.tick, "tick", move || {
            let rooms = rooms.clone();
            async move {
                rooms.bus.append(event_writer::ticks(&*rooms.bus, rooms.clock.utc())).await?;
                Ok(())
            }
        });
        let (rooms, consumers) = (self.rooms.clone(), self.consumers.clone());
        let retention = self.config.bus.retention();
        let keeper = Arc::new(tokio::sync::Mutex::new(Keeper::for_mediator()));
        let copied = Arc::new(tokio::sync::Mutex::new(()));
        if !self.config.bus.is_kafka() {
            self.start_backups(copied.clone());
        }
        self.every(RETENTION_INTERVAL, "retention", move || {
            let (rooms, consumers, keeper) = (rooms.clone(), consumers.clone(), keeper.clone());
            let copied = copied.clone();
            async move {
                // While the log is copied nothing is dropped from it.
                let Ok(_nobody) = copied.try_lock() else { return Ok(()) };
                let now = rooms.clock.utc();
                keeper.lock().await.expire(&*rooms.bus, &consumers, retention, now).await?;
                Ok(())
            }
        });
        self.start_cdr_files();
        self.start_feeds();
        self.start_billing_and_alarms();
        self.start_mail(mailer);
        self.start_webhooks(webhooks);
    }

    /// CDR files when they are due or full; and what of them need not stay in the database.
    fn start_cdr_files(&mut self) {
        let schedule = Arc::new(tokio::sync::Mutex::new(export_files::Schedule::default()));
        let (rooms, desk) = (self.rooms.clone(), self.export_desk());
        self.every(EXPORT_INTERVAL, "export files", move || {
            let desk = export_files::Desk { directory: rooms.directory.current(), ..desk.clone() };
            let (schedule, now) = (schedule.clone(), rooms.clock.utc());
            async move {
                if desk.store.is_restore_held().await? {
                    return Ok(());
                }
                schedule.lock().await.tick(&desk, now).await
            }
        });
        let (rooms, keep) = (self.rooms.clone(), self.config.exports.keep_calls);
        self.every(DROP_COPIES_INTERVAL, "copies of calls in old export files", move || {
            let rooms = rooms.clone();
            // Longer than there is time: for ever.
            let before = chrono::TimeDelta::from_std(keep)
                .ok()
                .and_then(|keep| rooms.clock.utc().checked_sub_signed(keep));
            async move {
                if let Some(before) = before {
                    rooms.store.export_drop_copies(before, DROP_COPIES_FILES).await?;
                }
                Ok(())
            }
        });
    }

    /// What commands and the desk have left in the database for the log: records sent in again, imports, changes, top-ups.
    fn start_feeds(&mut self) {
        let rooms = self.rooms.clone();
        self.every(RESUBMIT_INTERVAL, "resubmission", move || {
            let rooms = rooms.clone();
            async move { resubmit::send_waiting(&rooms).await.map(|_| ()) }
        });
        let asked = (self.rooms.clone(), self.consumers.clone(), self.stop_rest.clone());
        self.every(billing::QUESTIONS_INTERVAL, "questions of commands", move || {
            let (rooms, consumers, stop) = asked.clone();
            async move { Ok(billing::see_questions(&rooms, &consumers, &stop).await?) }
        });
        let rooms = self.rooms.clone();
        self.every(TOP_UP_INTERVAL, "top-ups", move || {
            let rooms = rooms.clone();
            async move { topup_feed::send_waiting(&rooms).await.map(|_| ()) }
        });
        let rooms = self.rooms.clone();
        self.every(RESUBMIT_INTERVAL, "imported records", move || {
            let rooms = rooms.clone();
            async move { import_feed::send_waiting(&rooms).await.map(|_| ()) }
        });
        let rooms = self.rooms.clone();
        self.every(RESUBMIT_INTERVAL, "changes of provisioning data", move || {
            let rooms = rooms.clone();
            async move { provisioning_feed::send_waiting(&rooms).await.map(|_| ()) }
        });
    }

    /// Invoices of the periods that have ended, and alarms about what people should look at.
    fn start_billing_and_alarms(&mut self) {
        if self.config.invoicing.automatic {
            let (rooms, lake, consumers) = (self.rooms.clone(), self.lake.clone(), self.consumers.clone());
            self.every(self.config.invoicing.poll, "billing", move || {
                let (rooms, lake, consumers) = (rooms.clone(), lake.clone(), consumers.clone());
                async move {
                    if rooms.store.is_restore_held().await? {
                        return Ok(());
                    }
                    billing::due(&rooms, &lake, &consumers).await
                }
            });
        }
        let (rooms, lake, alarms) = (self.rooms.clone(), self.lake.clone(), self.config.alarms.clone());
        let watch = Arc::new(tokio::sync::Mutex::new(alarms::Watch::default()));
        self.every(alarms.every, "alarms", move || {
            let (rooms, lake, alarms, watch) = (rooms.clone(), lake.clone(), alarms.clone(), watch.clone());
            async move {
                let look = alarms::gather(&rooms.store, &lake).await?;
                let now = rooms.clock.utc();
                let changes = watch.lock().await.look(&alarms, &look, now);
                alarms::tell(&rooms.store, &alarms, changes, now).await
            }
        });
    }

    /// Mails that wait.
    fn start_mail(&mut self, mailer: Mailer) {
        let (rooms, mailer) = (self.rooms.clone(), Arc::new(mailer));
        let links = self.config.mail.links.clone();
        self.every(self.config.pipeline.mail_poll, "mail", move || {
            let (rooms, mailer, links) = (rooms.clone(), mailer.clone(), links.clone());
            async move {
                mail_queue::send_waiting(&rooms.store, &mailer, links.as_ref(), rooms.clock.utc()).await?;
                Ok(())
            }
        });
    }

    /// What waits for programs elsewhere, and what need not be kept of it.
    fn start_webhooks(&mut self, webhooks: WebhookSender) {
        let queue = WebhookQueue::new(self.rooms.store.clone(), webhooks, self.rooms.clock.clone());
        let queue = Arc::new(queue);
        self.every(WEBHOOK_INTERVAL, "webhooks", move || {
            let queue = queue.clone();
            async move { queue.send_waiting().await }
        });
        let rooms = self.rooms.clone();
        self.every(WEBHOOK_FORGET_INTERVAL, "old words for webhooks", move || {
            let rooms = rooms.clone();
            async move {
                rooms.store.webhook_forget(rooms.clock.utc()).await?;
                Ok(())
            }
        });
    }

    /// Backups that commands order: this process alone has the log open. `copied` is held while one is made.
    fn start_backups(&mut self, copied: Arc<tokio::sync::Mutex<()>>) {
        let desk = BackupDesk {
            rooms: self.rooms.clone(),
            config: self.config.clone(),
            lake: self.lake.clone(),
            retention: copied,
            stop: self.stop_rest.clone(),
            since: self.rooms.clock.utc(),
        };
        self.every(backup::order::ORDERS_INTERVAL, "backup", move || {
            let desk = desk.clone();
            async move { desk.look().await }
        });
    }

    /// Runs `work` every `interval` until the stop, while this process has the desk; a failure is logged and tried again next time.
    pub(super) fn every<F, Work>(&mut self, interval: Duration, what: &'static str, mut work: F)
    where
        F: FnMut() -> Work + Send + 'static,
        Work: Future<Output = anyhow::Result<()>> + Send,
    {
        let (stop, on_duty) = (self.stop_rest.clone(), self.on_duty.clone());
        self.tasks.push(tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = stop.cancelled() => return,
                }
                if !on_duty.load(Ordering::Acquire) {
                    continue;
                }
                if let Err(why) = work().await {
                    error!(what, error = format!("{why:#}"), "failed; trying again");
                }
            }
        }));
    }
}
