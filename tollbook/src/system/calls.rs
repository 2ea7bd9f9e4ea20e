//! The switch of a process: its socket, its own log where there are brokers, and what it asks of balances.

use std::sync::Arc;

use bus::Bus;
use model::CallEvent;
use switch::Input;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tracing::error;

use crate::control_feed::ControlFeed;
use crate::forwarder::SwitchLog;
use crate::fraud_watch::Screens;
use crate::system::System;
use crate::{charging, event_writer, forwarder};

/// Events between the switch and the log: ten seconds of a thousand calls a second.
const EVENTS_WAITING_MAX: usize = 50_000;

impl System {
    pub(super) async fn start_switch(
        &mut self,
        socket: Option<UdpSocket>,
        mut inputs_waiting: mpsc::Receiver<Input>,
        switch_log: Option<SwitchLog>,
        screens: Screens,
        control_from: Vec<u64>,
    ) -> anyhow::Result<()> {
        let clock = &self.rooms.clock;
        let (events, events_waiting) = mpsc::channel::<CallEvent>(EVENTS_WAITING_MAX);
        let inputs = self.switch.clone();
        if socket.is_none() {
            // What is said to the switch is said to nobody; the feed keeps the provisioning data of this process fresh.
            let stop = self.stop_rest.clone();
            self.tasks.push(tokio::spawn(async move {
                let unheard = async { while inputs_waiting.recv().await.is_some() {} };
                tokio::select! {
                    () = unheard => {}
                    () = stop.cancelled() => {}
                }
            }));
            inputs_waiting = mpsc::channel(1).1;
        }
        let feed = ControlFeed::begin(self.rooms.clone(), control_from, screens, inputs.clone()).await?;
        self.tasks.push(tokio::spawn(feed.run(self.stop_rest.clone())));
        let Some(socket) = socket else { return Ok(()) };
        // With the log on brokers, the switch has one of its own: it never waits for them.
        let bus: Arc<dyn Bus> = match switch_log {
            Some(log) => {
                let own = log.bus.clone();
                let (to, clock, stop) = (self.rooms.bus.clone(), clock.clone(), self.stop_rest.clone());
                self.tasks.push(tokio::spawn(forwarder::run(log, to, clock, stop)));
                own
            }
            None => self.rooms.bus.clone(),
        };
        self.switch_tasks
            .push(tokio::spawn(async move { event_writer::run(&*bus, events_waiting, inputs).await }));

        let (credit, questions) = mpsc::channel(charging::QUESTIONS_WAITING_MAX);
        let service = charging::Charging {
            rooms: self.rooms.clone(),
            switch: self.switch.clone(),
            consumers: self.consumers.clone(),
            config: self.config.charging.clone(),
            tariffs: self.tariffs.clone(),
        };
        self.tasks.push(tokio::spawn(charging::run(service, questions, self.stop_rest.clone())));
        let running = switch::net::run(
            self.config.switch.clone(),
            clock.shared(),
            rand::random(),
            socket,
            inputs_waiting,
            events,
            credit,
            self.stats.clone(),
            self.stop_switch.clone().cancelled_owned(),
        );
        self.switch_tasks.push(tokio::spawn(async move {
            if let Err(why) = running.await {
                error!(error = %why, "the switch has stopped");
            }
        }));
        Ok(())
    }
}
