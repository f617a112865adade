//! One session, from its hello to its end.

use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::clock::{Timestamp, boot_id};
use farwatch_shared::error::Chain;
use farwatch_shared::failpoint;
use farwatch_shared::link::{
    CloseCode, Closed, Connection, FrameReceiver, FrameSender, Priority, ReadError, Transport,
};
use farwatch_shared::session::sender::{Answered, Facts, Greeting};
use farwatch_shared::session::{STATUS_INTERVAL_MS, Stream};
use farwatch_shared::telemetry::resident_bytes;
use farwatch_shared::wire::message::session::{Ack, HelloAnswer, Notice, Status};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::pull::Puller;
use super::push::{Filled, Pump, PushError};
use super::{Ended, LinkStatus, Parts, Revisions, Wish, control, dial, snapshot};
use crate::join::host_name;

/// A session in which packets go out and none comes back for so many seconds has ended. A status goes out every few
/// seconds, and each packet that carries anything is answered by the transport.
const SILENCE: u32 = 10;
/// The same while the hello is not answered.
const HELLO_SILENCE: u32 = 3;
/// A program that stops waits this long for the acks of what is under way.
const FAREWELL: Duration = Duration::from_secs(2);
/// Certificates and addresses are looked after this often.
const CHORES: Duration = Duration::from_secs(15);
/// A renewal that failed is tried again after this at the earliest.
const RENEW_AGAIN: Duration = Duration::from_secs(600);

/// Runs a session over a fresh connection; over TCP, UDP is tried for the first time `udp_after`.
pub(super) async fn run(
    parts: &Arc<Parts>,
    connection: Connection,
    udp_after: Duration,
    drain: &CancellationToken,
) -> Ended {
    // Whichever way this future ends (also dropped), the connection is closed in order.
    let connection = CloseOnDrop(connection);
    let link = &connection.0;
    let opening = async {
        tokio::select! {
            opened = timeout(dial::DEADLINE, open(parts, link)) => match opened {
                Ok(Ok(opened)) => Ok(opened),
                Ok(Err(error)) => Err(ended(link, &error).await),
                Err(_) => Err(Ended::lost("Central did not answer the hello")),
            },
            () = silence(link, HELLO_SILENCE) => Err(gone_silent(link)),
        }
    };
    let (send, receive, answer) = match drain.run_until_cancelled(opening).await {
        None => return Ended::by(&Closed::Here),
        Some(Ok(opened)) => opened,
        Some(Err(ended)) => return ended,
    };
    let answered = {
        let now = parts.tick();
        parts.sender().answer(&answer, now, rand::random())
    };
    let greeting = match answered {
        Answered::Accepted(greeting) => greeting,
        Answered::Refused { word, redial_at } => {
            return Ended {
                refused_until: Some(redial_at),
                ..Ended::lost(refusal_in_words(&word))
            };
        }
    };
    let working = work(parts, link, (send, receive), answer, greeting, drain);
    let moving = async {
        match link.transport() {
            Transport::Tcp => dial::over_udp(parts, udp_after, parts.udp_retry).await,
            Transport::Udp => std::future::pending().await,
        }
    };
    tokio::select! {
        end = working => match end {
            Ok(()) => Ended::by(&Closed::Here),
            Err(error) => ended(link, &error).await,
        },
        () = silence(link, SILENCE) => gone_silent(link),
        next = moving => {
            tracing::info!("UDP is open again: the session moves to {}", next.remote_address());
            Ended { next: Some(next), ..Ended::lost("the session moves to UDP") }
        }
    }
}

fn gone_silent(link: &Connection) -> Ended {
    Ended {
        silent: true,
        ..Ended::lost(match link.transport() {
            Transport::Udp => format!(
                "nothing comes back from {} over UDP any more: the way there broke, or somebody on it blocks UDP",
                link.remote_address()
            ),
            Transport::Tcp => {
                format!("nothing comes back from {} any more", link.remote_address())
            }
        })
    }
}

/// Returns once packets went out and none came back for so many seconds of this machine's own life: time that it was
/// suspended does not count.
async fn silence(link: &Connection, seconds: u32) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut heard) = link.packets();
    let mut unanswered = 0;
    while unanswered < seconds {
        second.tick().await;
        let now = link.packets();
        if now.1 == heard {
            unanswered += u32::from(now.0 > sent);
        } else {
            ((sent, heard), unanswered) = (now, 0);
        }
    }
}

struct CloseOnDrop(Connection);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(CloseCode::Shutdown, "");
    }
}

fn refusal_in_words(word: &str) -> String {
    match word {
        "clone" => "another machine with this probe's identity is connected: this one is a copy, or was rolled back".to_owned(),
        "busy" => "Central cannot take anybody now".to_owned(),
        "revoked" => "this probe was revoked".to_owned(),
        "version" => "Central does not speak this probe's version: update one of them".to_owned(),
        other => format!("Central refuses: {other}"),
    }
}

/// Why it ended, in the words of the connection when that is the cause.
async fn ended(link: &Connection, error: &PushError) -> Ended {
    match error {
        PushError::Spool(error) => {
            tracing::error!(error = %Chain(error), "the spool fails the session");
            link.close(CloseCode::Shutdown, "");
            Ended::lost(format!("the spool: {}", Chain(error)))
        }
        PushError::Read(error) => {
            // A stream breaks a moment before the connection says why.
            let told = timeout(Duration::from_millis(200), link.closed()).await;
            match (told, error) {
                (Ok(closed), _) => Ended::by(&closed),
                (Err(_), ReadError::Closed(closed)) => Ended::by(closed),
                (Err(_), other) => {
                    link.close(CloseCode::Protocol, "a frame that may not be there");
                    Ended::lost(format!("Central sent something unreadable: {other}"))
                }
            }
        }
    }
}

/// Hello and its answer.
async fn open(
    parts: &Parts,
    link: &Connection,
) -> Result<(FrameSender, FrameReceiver, HelloAnswer), PushError> {
    let (mut send, mut receive) = link.open(Priority::Events).await?;
    let stock = parts.spool.stock().await?;
    let facts = Facts {
        program: super::PROGRAM.to_owned(),
        host_name: host_name(),
        os: os(),
        boot_id: boot_id(),
        now: parts.clock.now(),
        boot_ms: parts.clock.boot_ms(),
        highest_device_no: parts.source.highest_device_no(),
    };
    let hello = parts.sender().hello(&stock, facts);
    send.send(&hello).await?;
    let answer = receive.expect().await?;
    Ok((send, receive, answer))
}

fn os() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| std::env::consts::OS.to_owned(),
        |uname| {
            format!(
                "{} {} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy(),
                uname.machine().to_string_lossy()
            )
        },
    )
}

/// Everything after an accepted hello. `Ok` when the program stops.
async fn work(
    parts: &Arc<Parts>,
    link: &Connection,
    (mut send, receive): (FrameSender, FrameReceiver),
    answer: HelloAnswer,
    greeting: Greeting,
    drain: &CancellationToken,
) -> Result<(), PushError> {
    let lease = greeting.lease;
    if greeting.restored {
        tracing::warn!("Central was restored from a backup; what it lacks is sent again");
    }
    // The lease first, on disk: only then anything is pushed.
    parts.spool.greet(lease, greeting.settlements).await?;
    if let Some(above) = greeting.new_epoch_above {
        let epoch = parts.spool.start_epoch(above).await?;
        tracing::warn!("this probe was rolled back or copied: it goes on as epoch {epoch}");
    }
    if let Some((from, to)) = greeting.unaccounted {
        parts.spool.account_for(from, to).await?;
        tracing::warn!(
            "the store of {from} to {to} is lost: what Central had not received of it is a gap"
        );
    }
    let heads = parts.spool.heads().await?;
    let marks = {
        let now = parts.tick();
        parts.sender().begin(&heads, now)
    };
    for part in snapshot::parts(parts.source.states(), &marks, parts.clock.now()) {
        send.queue(&part);
    }
    send.flush().await?;
    failpoint::hit("P5");
    if !greeting.want_layouts.is_empty() {
        parts.spool.emit_layouts(greeting.want_layouts).await?;
        parts.refresh().await?;
    }
    parts.session.send_replace(Some(link.clone()));
    parts.tell_up(link, lease);
    parts.revisions.send_modify(|told| {
        *told = Revisions {
            config: told.config.max(answer.config_revision),
            addresses: told.addresses.max(answer.addresses_revision),
            session: told.session + 1,
            highest_device_no: answer.highest_device_no,
        };
    });
    let over = link.transport().as_str();
    tracing::info!(
        "connected to Central at {} over {over}",
        link.remote_address()
    );

    let pump = Pump::default();
    let mut tasks = JoinSet::new();
    let (accepting, control_parts) = (link.clone(), parts.clone());
    // On a task of its own: an echo waits for nothing of ours.
    tasks.spawn(async move {
        let (send, receive) = accepting.accept().await?;
        control::run(&control_parts, send, receive).await
    });
    tokio::select! {
        end = events(parts, link, &pump, send, receive) => end,
        end = pump.stream(parts, link, Stream::Live) => end,
        end = pump.stream(parts, link, Stream::Backlog) => end,
        end = keep_up(parts, &pump) => end,
        () = chores(parts, &answer) => Ok(()),
        Some(end) = tasks.join_next() => match end {
            Ok(Err(error)) => Err(error.into()),
            _ => Err(ReadError::Ended.into()),
        },
        () = farewell(parts, drain) => Ok(()),
    }
}

/// Returns when the program stops and Central has decided what is under way, or takes too long for it.
async fn farewell(parts: &Parts, drain: &CancellationToken) {
    drain.cancelled().await;
    let until = Instant::now() + FAREWELL;
    while Instant::now() < until && parts.sender().undecided().1 > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What became durable is taken up at once.
async fn keep_up(parts: &Parts, pump: &Pump) -> Result<(), PushError> {
    let mut changed = parts.spool.changed();
    loop {
        parts.refresh().await?;
        pump.more.notify_waiters();
        if changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The events stream: events, dropped ranges and status up; acks and notices down.
async fn events(
    parts: &Parts,
    link: &Connection,
    pump: &Pump,
    mut send: FrameSender,
    mut receive: FrameReceiver,
) -> Result<(), PushError> {
    let up = async {
        let mut status =
            tokio::time::interval(Duration::from_millis(STATUS_INTERVAL_MS.unsigned_abs()));
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let more = pump.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            for dropped in parts.sender().next_dropped() {
                send.queue(&dropped);
            }
            let filled = pump.fill(parts, Stream::Events, &mut send).await?;
            send.flush().await?;
            if matches!(filled, Filled::Yes) {
                continue;
            }
            tokio::select! {
                () = more => {}
                _ = status.tick() => {
                    send.queue(&status_now(parts, link).await?);
                    send.flush().await?;
                }
            }
        }
        #[expect(unreachable_code, reason = "gives the block its type")]
        Ok::<(), PushError>(())
    };
    let down = async {
        while let Some(frame) = receive.next().await? {
            if frame.is::<Ack>() {
                pump.ack(parts, &frame).await?;
            } else if frame.is::<Notice>() {
                noticed(parts, frame.decode().map_err(ReadError::from)?);
            }
        }
        Err::<(), PushError>(ReadError::Ended.into())
    };
    tokio::try_join!(up, down).map(|_| ())
}

fn noticed(parts: &Parts, notice: Notice) {
    parts.revisions.send_if_modified(|told| {
        let news =
            notice.config_revision > told.config || notice.addresses_revision > told.addresses;
        told.config = told.config.max(notice.config_revision);
        told.addresses = told.addresses.max(notice.addresses_revision);
        news
    });
    let mut wishes = Vec::new();
    if notice.discover_now {
        wishes.push(Wish::Discover);
    }
    if !notice.add_addresses.is_empty() {
        wishes.push(Wish::Add(notice.add_addresses));
    }
    if !notice.forget_devices.is_empty() {
        wishes.push(Wish::Forget(notice.forget_devices));
    }
    for wish in wishes {
        if let Err(error) = parts.wishes.try_send(wish) {
            tracing::warn!("a wish from Central was dropped: {error}");
        }
    }
}

async fn status_now(parts: &Parts, link: &Connection) -> Result<Status, PushError> {
    let spool = parts.spool.status().await?;
    let (not_after, renew_after) = {
        let identity = parts.identity();
        (identity.not_after(), identity.renew_after())
    };
    let mut status = Status {
        now: parts.clock.now(),
        boot_ms: parts.clock.boot_ms(),
        spool_batches: spool.waiting_batches,
        spool_bytes: spool.file_bytes,
        spool_limit_bytes: spool.limit_bytes,
        oldest_unacked: spool.oldest_unacked,
        time_left_s: spool.time_left_s,
        replay_window_s: spool.replay_window_s,
        certificate_not_after: not_after,
        certificate_renew_after: renew_after,
        config_revision: 0,
        devices: 0,
        polls_total: 0,
        polls_overran_total: 0,
        rss_bytes: resident_bytes(),
        notices: Vec::new(),
        discovery_state: String::new(),
        discovery_range: String::new(),
        discovery_swept: 0,
        discovery_to_sweep: 0,
        discovery_answered: 0,
        discovery_identified: 0,
        discovery_started: Timestamp(0),
        discovery_finished: Timestamp(0),
    };
    parts.source.vitals(&mut status);
    if link.transport() == Transport::Tcp {
        status.notices.push(format!(
            "connected over TCP, because UDP to Central is blocked: allow outgoing UDP port {}",
            parts.identity().udp_ports()
        ));
    }
    let (undecided_bytes, _) = parts.sender().undecided();
    let waiting_batches = parts.sender().waiting();
    let rtt_ms = u64::try_from(link.rtt().as_millis()).unwrap_or(u64::MAX);
    parts.status.send_modify(|shown: &mut LinkStatus| {
        (shown.undecided_bytes, shown.waiting_batches, shown.rtt_ms) =
            (undecided_bytes, waiting_batches, rtt_ms);
    });
    Ok(status)
}

/// Certificate, addresses and time, looked after by Central's clock: ours may be wrong. Never returns.
async fn chores(parts: &Arc<Parts>, answer: &HelloAnswer) {
    let puller = Puller::new(parts.session.subscribe());
    let (central_then, then) = (answer.now, Instant::now());
    let mut renew_not_before = Instant::now();
    let mut timer = tokio::time::interval(CHORES);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut revisions = parts.revisions.subscribe();
    loop {
        let passed = i64::try_from(then.elapsed().as_millis()).unwrap_or(i64::MAX);
        let central_now = central_then.plus_ms(passed);
        parts
            .keep("the time", move |identity| identity.keep_time(central_now))
            .await;
        let known = parts.identity().place().addresses_revision;
        if parts.revisions.borrow().addresses > known {
            fetch_addresses(parts, &puller).await;
        }
        let due = central_now >= parts.identity().renew_after();
        if due && Instant::now() >= renew_not_before {
            renew_not_before = Instant::now() + RENEW_AGAIN;
            renew(parts, &puller).await;
        }
        tokio::select! {
            _ = timer.tick() => {}
            _ = revisions.changed() => {}
        }
    }
}

async fn fetch_addresses(parts: &Arc<Parts>, puller: &Puller) {
    match puller.addresses().await {
        Ok(told) => {
            let kept = parts.keep("Central's addresses", move |identity| {
                identity.keep_addresses(told.addresses, told.revision)
            });
            if kept.await {
                tracing::info!("the list of Central's addresses was renewed");
            }
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "Central's addresses could not be pulled")
        }
    }
}

async fn renew(parts: &Arc<Parts>, puller: &Puller) {
    let csr = parts.identity().csr();
    let csr = match csr {
        Ok(csr) => csr,
        Err(error) => {
            return tracing::error!(error = %Chain(&error), "no certificate can be asked for");
        }
    };
    match puller.renew(csr).await {
        Ok(answer) if answer.refused.is_empty() => {
            let kept = parts.keep("the renewed certificate", move |identity| {
                identity.keep_renewed(&answer)?;
                identity.keep_names(&answer.names)
            });
            if kept.await {
                tracing::info!("the certificate was renewed");
                parts.tell_certificate();
            }
        }
        Ok(answer) => tracing::warn!("the certificate was not renewed: {}", answer.refused),
        Err(error) => tracing::warn!(error = %Chain(&error), "the certificate was not renewed"),
    }
}
