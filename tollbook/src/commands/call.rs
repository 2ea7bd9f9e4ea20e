//! `tollbook call`: one test call with the built-in phone, step by step.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use switch::phone::{Behaviour, CallPlan, PhoneCommand, PhoneLine, PhoneStep};
use tokio_util::sync::CancellationToken;

use crate::cli::CallArgs;
use crate::clock::Clock;
use crate::demo_traffic::Phones;
use crate::failure::UserError;

/// How long the call may ring.
const PATIENCE: Duration = Duration::from_secs(60);

/// Places the call; a refusal is told as the user's.
pub(crate) async fn call(args: CallArgs) -> anyhow::Result<()> {
    let clock = Clock::start();
    let own: SocketAddr = match args.switch {
        SocketAddr::V4(switch) if switch.ip().is_loopback() => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let line = PhoneLine {
        username: args.user.clone(),
        domain: args.domain,
        password: args.password,
        server: args.switch,
    };
    let nobody_home = Arc::new(|_: &_| Behaviour::Refuse { ring: Duration::ZERO, code: 480 });
    let stop = CancellationToken::new();
    let mut phone = Phones::start(own, vec![line], nobody_home, &clock, &stop)?;
    let plan = CallPlan {
        id: 1,
        line: Some(0),
        server: args.switch,
        from: args.user,
        to: args.number.clone(),
        talk: Some(Duration::from_secs(args.seconds)),
        patience: PATIENCE,
    };
    phone.commands.send(PhoneCommand::Call(plan)).await.context("the phone has stopped")?;
    let began = clock.now().mono;
    loop {
        let report = phone.reports.recv().await.context("the phone has stopped")?;
        let at = report.at.mono.saturating_sub(began).as_millis();
        let step = match &report.step {
            PhoneStep::Dialled => format!("INVITE {}", args.number),
            PhoneStep::Challenged => "password asked for, given".to_owned(),
            PhoneStep::Trying => "100 Trying".to_owned(),
            PhoneStep::Ringing { code } => format!("{code} ringing"),
            PhoneStep::Answered => "200 answered".to_owned(),
            PhoneStep::Cancelled => "gave up".to_owned(),
            PhoneStep::Refused { code, phrase } => format!("{code} {phrase}"),
            PhoneStep::HungUp { by_us, talked } => format!(
                "BYE by {} after {:.3} s",
                if *by_us { "us" } else { "the other side" },
                talked.as_secs_f32()
            ),
            PhoneStep::Registered { .. } | PhoneStep::RegisterFailed { .. } | PhoneStep::Called { .. } => {
                continue;
            }
        };
        println!("{at:>7} ms  {step}");
        match report.step {
            PhoneStep::Refused { code, phrase } => {
                return Err(UserError::new(
                    format!("the call was refused: {code} {phrase}"),
                    "the switch's log and `tollbook sql` say why",
                )
                .into());
            }
            PhoneStep::HungUp { .. } => break,
            PhoneStep::Registered { .. }
            | PhoneStep::RegisterFailed { .. }
            | PhoneStep::Dialled
            | PhoneStep::Challenged
            | PhoneStep::Trying
            | PhoneStep::Ringing { .. }
            | PhoneStep::Answered
            | PhoneStep::Cancelled
            | PhoneStep::Called { .. } => {}
        }
    }
    stop.cancel();
    phone.ended().await
}
