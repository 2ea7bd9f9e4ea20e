//! A socket for the test phones.

use std::future::Future;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::{Clock, is_harmless, local_address, reachable, send, sleep};
use crate::SwitchError;
use crate::phone::{Answering, PhoneCommand, PhoneInput, PhoneLine, PhoneOutput, PhoneReport, Phones};

/// Runs [`Phones`] on their socket until `stop` resolves, or until `commands` is closed and the last call is over.
///
/// Each step of a registration or call goes to `reports`; its receiver should keep up, for it is not bounded: phones are tests,
/// and their number of calls is the bound. `answering` says how a called phone behaves.
///
/// # Errors
///
/// [`SwitchError::Socket`] when the socket breaks.
#[expect(clippy::too_many_arguments, reason = "everything the outside world is to the phones")]
pub async fn run_phones(
    socket: UdpSocket,
    clock: Clock,
    seed: u64,
    lines: Vec<PhoneLine>,
    answering: Answering,
    mut commands: mpsc::Receiver<PhoneCommand>,
    reports: mpsc::UnboundedSender<PhoneReport>,
    stop: impl Future<Output = ()>,
) -> Result<(), SwitchError> {
    let local = local_address(&socket)?;
    let mut phones = Phones::new(reachable(local), lines, answering, clock(), seed);
    let mut buffer = vec![0; 65_536];
    let mut commands_open = true;
    tokio::pin!(stop);
    loop {
        while let Some(output) = phones.poll_output() {
            match output {
                PhoneOutput::Transmit { to, bytes } => send(&socket, local.is_ipv6(), to, &bytes).await,
                // Nobody who listens any more is no reason to drop calls.
                PhoneOutput::Report(report) => drop(reports.send(report)),
            }
        }
        if !commands_open && phones.n_calls() == 0 {
            return Ok(());
        }
        let due = phones.poll_timeout().map(|(at, _)| at.saturating_sub(clock().mono));
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            () = sleep(due) => phones.handle(clock(), PhoneInput::Timeout),
            received = socket.recv_from(&mut buffer) => match received {
                Ok((length, from)) => phones.receive(clock(), from, &buffer[..length]),
                Err(error) if is_harmless(&error) => {}
                Err(source) => return Err(SwitchError::Socket { address: local, source }),
            },
            command = commands.recv(), if commands_open => match command {
                Some(command) => phones.handle(clock(), PhoneInput::Command(command)),
                None => commands_open = false,
            },
        }
    }
}
