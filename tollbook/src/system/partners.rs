//! The SFTP server of a process, and what is watched of partners: files nobody fetched, files put, a full disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::error;

use crate::disk_watch::DiskWatch;
use crate::system::System;
use crate::{disk_watch, exchange_inbox, sftp_desk};

/// How often it is looked whether files wait for their readers.
const MISS_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked what partners have put.
const INBOX_INTERVAL: Duration = Duration::from_secs(10);

impl System {
    pub(super) fn start_sftp(&mut self, sftp_listener: TcpListener) {
        let sftp = self.config.sftp.clone();
        let root = self.config.exports.dir.clone();
        let (trail, events) = mpsc::channel(exports::sftp::EVENTS_WAITING_MAX);
        self.tasks.push(tokio::spawn(sftp_desk::keep_trail(
            self.rooms.store.clone(),
            self.rooms.clock.clone(),
            root.clone(),
            events,
            self.stop_rest.clone(),
        )));
        let (rooms, section) = (self.rooms.clone(), sftp.clone());
        self.every(MISS_INTERVAL, "files not fetched", move || {
            let (rooms, section) = (rooms.clone(), section.clone());
            async move {
                let now = rooms.clock.utc();
                sftp_desk::miss_readers(&rooms.store, &section, now).await?;
                rooms.store.trail_forget(now - chrono::TimeDelta::days(section.trail_days.into())).await?;
                Ok(())
            }
        });
        let (rooms, section) = (self.rooms.clone(), sftp.clone());
        self.every(INBOX_INTERVAL, "files put by partners", move || {
            let (rooms, section) = (rooms.clone(), section.clone());
            async move {
                let (directory, now) = (rooms.directory.current(), rooms.clock.utc());
                exchange_inbox::look(&rooms.store, &directory, &section, now).await
            }
        });
        let (rooms, section) = (self.rooms.clone(), sftp.clone());
        let dirs = [root.clone(), self.config.exports.archive.clone(), sftp.exchange_dir.clone()];
        let disks = Arc::new(Mutex::new(DiskWatch::default()));
        self.every(MISS_INTERVAL, "disk of the CDR files", move || {
            let (rooms, section, dirs, disks) = (rooms.clone(), section.clone(), dirs.clone(), disks.clone());
            async move {
                let mut levels = Vec::new();
                for dir in dirs {
                    levels.push((dir.clone(), disk_watch::Level::of(&dir)?));
                }
                let changes = {
                    let mut disks = disks.lock().unwrap_or_else(PoisonError::into_inner);
                    disks.look(&levels, u64::from(section.disk_free_percent_min))
                };
                disk_watch::tell(&rooms.store, changes, &section.alarm_to, rooms.clock.utc()).await
            }
        });
        let users = move |name: &str| {
            sftp.users.iter().find(|user| user.name == name).map(|user| exports::sftp::SftpUser {
                name: user.name.clone(),
                authorized_keys: user.authorized_keys.clone(),
                password_hash: user.password_hash.clone(),
                networks: user.networks.clone(),
                root: root.join(&user.folder),
                exchange: user.exchange.then(|| sftp.exchange_dir.join(&user.name)),
                deletable: user.may_delete,
                renamable: user.may_rename,
            })
        };
        let serving = exports::sftp::serve(
            self.config.sftp.server.clone(),
            users,
            trail,
            sftp_listener,
            self.stop_rest.clone().cancelled_owned(),
        );
        self.tasks.push(tokio::spawn(async move {
            if let Err(why) = serving.await {
                error!(error = %why, "the SFTP server has stopped");
            }
        }));
    }
}
