//! One probe's control stream: requests down, answers up, many in flight, each timed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farwatch_shared::id::ActionId;
use farwatch_shared::link::{Connection, Frame, FrameReceiver, FrameSender, Priority, ReadError};
use farwatch_shared::wire::message::control::{Echo, EchoAnswer};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Requests that wait to be written. People and a timer make them; when this many wait the probe is not reading.
const REQUESTS: usize = 64;
/// Requests written and not yet answered.
const IN_FLIGHT: usize = 256;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// An echo goes out by itself this often, the first one at once.
const INTERVAL: Duration = Duration::from_secs(30);
/// Round trips remembered: at one every 30 s, two hours.
const REMEMBERED: usize = 240;
/// Bytes of an echo, about those of an action.
const PAYLOAD: usize = 64;

/// How long a round trip took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoTimings {
    /// From the request to its answer, as Central saw it.
    pub rtt: Duration,
    /// Of that, inside the probe.
    pub held: Duration,
}

/// Round trips of this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoStats {
    /// The latest.
    pub last: EchoTimings,
    /// Half were quicker.
    pub p50: Duration,
    /// Ninety-nine of a hundred were quicker.
    pub p99: Duration,
    /// How many are counted.
    pub count: usize,
}

/// Why there was no round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EchoError {
    /// The probe has no session.
    #[error("the probe is not connected")]
    NotConnected,
    /// Too many requests wait.
    #[error("too many requests to this probe are under way")]
    Busy,
    /// Nothing came back.
    #[error("the probe did not answer within {PATIENCE:?}")]
    Late,
}

type Answered = oneshot::Sender<EchoTimings>;

/// The handle to a control stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    requests: mpsc::Sender<Answered>,
    seen: Arc<Mutex<VecDeque<EchoTimings>>>,
}

/// The stream's own end: run it for as long as the session lasts.
#[derive(Debug)]
pub struct ControlStream {
    requests: mpsc::Receiver<Answered>,
    seen: Arc<Mutex<VecDeque<EchoTimings>>>,
}

/// A handle and its stream, not yet open.
#[must_use]
pub fn control() -> (ControlHandle, ControlStream) {
    let (sender, requests) = mpsc::channel(REQUESTS);
    let seen = Arc::<Mutex<VecDeque<EchoTimings>>>::default();
    let handle = ControlHandle {
        requests: sender,
        seen: seen.clone(),
    };
    (handle, ControlStream { requests, seen })
}

impl ControlHandle {
    /// A round trip, now.
    ///
    /// # Errors
    /// [`EchoError`].
    pub async fn echo(&self) -> Result<EchoTimings, EchoError> {
        let (tell, answer) = oneshot::channel();
        self.requests.try_send(tell).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EchoError::Busy,
            mpsc::error::TrySendError::Closed(_) => EchoError::NotConnected,
        })?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(timings)) => Ok(timings),
            Ok(Err(_)) => Err(EchoError::NotConnected),
            Err(_) => Err(EchoError::Late),
        }
    }

    /// Round trips of this session; `None` before the first.
    #[must_use]
    pub fn stats(&self) -> Option<EchoStats> {
        let seen = self.seen.lock().ok()?;
        let last = *seen.back()?;
        let mut sorted: Vec<Duration> = seen.iter().map(|timings| timings.rtt).collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
        Some(EchoStats {
            last,
            p50: at(50),
            p99: at(99),
            count: sorted.len(),
        })
    }
}

struct InFlight {
    since: Instant,
    tell: Option<Answered>,
}

impl ControlStream {
    /// Opens the stream and serves it until the connection ends.
    ///
    /// # Errors
    /// The connection has ended, or the probe sent what is no frame.
    pub async fn run(mut self, connection: Connection) -> Result<(), ReadError> {
        let (mut sender, mut receiver) = connection.open(Priority::Control).await?;
        let mut in_flight = HashMap::<[u8; 16], InFlight>::new();
        let mut timer = tokio::time::interval(INTERVAL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => ask(&mut sender, &mut in_flight, None),
                asked = self.requests.recv() => match asked {
                    Some(tell) => ask(&mut sender, &mut in_flight, Some(tell)),
                    None => return Ok(()),
                },
                flushed = sender.flush(), if sender.waiting() > 0 => flushed?,
                frame = next(&mut receiver) => self.answered(&frame?, &mut in_flight)?,
            }
        }
    }

    fn answered(
        &self,
        frame: &Frame,
        in_flight: &mut HashMap<[u8; 16], InFlight>,
    ) -> Result<(), ReadError> {
        if !frame.is::<EchoAnswer>() {
            return Ok(()); // a refusal, or an answer of a later version: whoever waits runs out of patience
        }
        let answer: EchoAnswer = frame.decode()?;
        let Some(asked) = in_flight.remove(&answer.id) else {
            return Ok(());
        };
        let timings = EchoTimings {
            rtt: asked.since.elapsed(),
            held: Duration::from_micros(answer.held_us),
        };
        if let Ok(mut seen) = self.seen.lock() {
            if seen.len() == REMEMBERED {
                seen.pop_front();
            }
            seen.push_back(timings);
        }
        if let Some(tell) = asked.tell {
            let _ = tell.send(timings); // whoever asked may have lost patience
        }
        Ok(())
    }
}

async fn next(receiver: &mut FrameReceiver) -> Result<Frame, ReadError> {
    receiver.next().await?.ok_or(ReadError::Ended)
}

fn ask(
    sender: &mut FrameSender,
    in_flight: &mut HashMap<[u8; 16], InFlight>,
    tell: Option<Answered>,
) {
    in_flight.retain(|_, asked| asked.since.elapsed() < PATIENCE);
    if in_flight.len() >= IN_FLIGHT {
        return; // dropping `tell` says so
    }
    let id = *ActionId::generate().as_bytes();
    sender.queue(&Echo {
        id,
        payload: vec![0; PAYLOAD],
    });
    in_flight.insert(
        id,
        InFlight {
            since: Instant::now(),
            tell,
        },
    );
}
