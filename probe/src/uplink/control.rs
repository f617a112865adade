//! What Central asks: answered at once, whatever else is going on.

use std::time::Instant;

use farwatch_shared::link::{Frame, FrameReceiver, FrameSender, Priority, ReadError};
use farwatch_shared::wire::message::control::{ControlRefused, Echo, EchoAnswer};

use super::Parts;

/// The longest payload of an echo that is sent back.
const ECHO_BYTES: usize = 1_024;

/// Serves the control stream until it ends.
pub(super) async fn run(
    parts: &Parts,
    mut send: FrameSender,
    mut receive: FrameReceiver,
) -> Result<(), ReadError> {
    send.set_priority(Priority::Control);
    while let Some(frame) = receive.next().await? {
        let read = Instant::now();
        answer(parts, &frame, read, &mut send)?;
        send.flush().await?;
    }
    Ok(())
}

fn answer(
    parts: &Parts,
    frame: &Frame,
    read: Instant,
    send: &mut FrameSender,
) -> Result<(), ReadError> {
    let refuse = |reason: &str| ControlRefused {
        kind: frame.header.kind,
        version: frame.header.version,
        reason: reason.to_owned(),
    };
    if !frame.is::<Echo>() {
        send.queue(&refuse("this probe does not know that request"));
        return Ok(());
    }
    let echo: Echo = frame.decode()?;
    if echo.payload.len() > ECHO_BYTES {
        send.queue(&refuse("an echo of more than 1,024 bytes"));
        return Ok(());
    }
    parts.status.send_if_modified(|status| {
        status.echoes += 1;
        false // worth showing, not worth waking anybody
    });
    send.queue(&EchoAnswer {
        id: echo.id,
        payload: echo.payload,
        held_us: u64::try_from(read.elapsed().as_micros()).unwrap_or(u64::MAX),
    });
    Ok(())
}
