//! Congestion control for a way that loses: Cubic (RFC 9438) that never goes below ten packets in flight.
//!
//! A probe sends a few kilobytes a second. On a way that loses a third of everything, whatever the load, Cubic falls to
//! two packets in flight, and each lost one holds up samples, acknowledgements and actions for a probe time-out, doubled
//! when it is lost again. Ten packets are what every connection may begin with (RFC 6928), and no burden once a round trip.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// Packets that may be in flight in any case.
const FLOOR_PACKETS: u64 = 10;

/// Makes a [`Floored`] for each path.
#[derive(Clone, Debug, Default)]
pub(super) struct FlooredConfig(Arc<CubicConfig>);

impl ControllerFactory for FlooredConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floored {
            inner: Arc::clone(&self.0).build(now, current_mtu),
            mtu: current_mtu.into(),
        })
    }
}

struct Floored {
    inner: Box<dyn Controller>,
    mtu: u64,
}

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window().max(FLOOR_PACKETS * self.mtu)
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            mtu: self.mtu,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_never_leave_less_than_ten_packets_in_flight() {
        let now = Instant::now();
        let mut controller = Arc::new(FlooredConfig::default()).build(now, 1_200);
        for second in 1..20 {
            let now = now + std::time::Duration::from_secs(second);
            controller.on_congestion_event(now, now, second % 3 == 0, 1_200);
            assert!(controller.window() >= 12_000, "{}", controller.window());
        }
        controller.on_mtu_update(1_452);
        assert_eq!(controller.clone_box().window(), 14_520);
    }
}
