#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of a test"
)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A site in virtual time: what answers when, and the detector that looks at it.
struct Site {
    detector: Detector,
    now_ms: i64,
    means: BTreeMap<u32, (bool, bool)>,
    /// (device, means) that answer nothing at present.
    silent: BTreeSet<(u32, By)>,
    checks: Vec<Check>,
    events: Vec<EventRecord>,
    last_answer: BTreeMap<u32, i64>,
}

impl Site {
    fn new(devices: &[(u32, bool, bool)]) -> Self {
        let mut site = Self {
            detector: Detector::default(),
            now_ms: 10_000_000,
            means: devices
                .iter()
                .map(|(no, ping, snmp)| (*no, (*ping, *snmp)))
                .collect(),
            silent: BTreeSet::new(),
            checks: Vec::new(),
            events: Vec::new(),
            last_answer: BTreeMap::new(),
        };
        for (no, ping, snmp) in devices {
            let now = site.now();
            site.detector.add(
                DeviceNo(*no),
                ping.then_some(true),
                snmp.then_some(true),
                Some(Remembered {
                    state: DeviceState::Up,
                    since: now.wall,
                    reason: String::new(),
                    still_holds: true,
                }),
                now,
            );
        }
        site
    }

    fn now(&self) -> Moment {
        Moment {
            wall: Timestamp(self.now_ms + 1_700_000_000_000),
            boot_ms: self.now_ms,
        }
    }

    fn parents(&mut self, parents: &[(u32, &[u32])]) {
        self.detector.set_parents(
            parents
                .iter()
                .map(|(child, of)| {
                    (
                        DeviceNo(*child),
                        of.iter().map(|no| DeviceNo(*no)).collect(),
                    )
                })
                .collect(),
        );
    }

    fn cut(&mut self, no: u32) {
        self.silent.insert((no, By::Ping));
        self.silent.insert((no, By::Snmp));
    }

    fn mend(&mut self, no: u32) {
        self.silent.remove(&(no, By::Ping));
        self.silent.remove(&(no, By::Snmp));
    }

    fn ask(&mut self, no: u32, by: By) {
        let silent = self.silent.contains(&(no, by));
        let seen = if silent { Seen::Silence } else { Seen::Answer };
        if !silent {
            self.last_answer.insert(no, self.now_ms);
        }
        let now = self.now();
        let out = self.detector.seen(DeviceNo(no), by, seen, now);
        self.take(out);
    }

    fn take(&mut self, out: Outcome) {
        for event in &out.events {
            if event.kind == EventKind::DeviceDown.code() {
                let quiet = self.now_ms
                    - self
                        .last_answer
                        .get(&event.device.0)
                        .copied()
                        .unwrap_or(i64::MIN / 2);
                assert!(quiet >= 3_000, "down {quiet} ms after an answer");
            }
        }
        self.events.extend(out.events);
        self.checks.extend(out.checks);
    }

    /// Seconds of life: pings every 10 s, polls every 60 s, checks as they are asked for.
    fn live(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now_ms += 1_000;
            let second = self.now_ms / 1_000;
            let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.checks)
                .into_iter()
                .partition(|check| check.at_ms <= self.now_ms);
            self.checks = later;
            for check in due {
                self.ask(check.device.0, check.by);
            }
            for (no, (ping, snmp)) in self.means.clone() {
                if ping && (second + i64::from(no)) % 10 == 0 {
                    self.ask(no, By::Ping);
                }
                if snmp && (second + i64::from(no) * 7) % 60 == 0 {
                    self.ask(no, By::Snmp);
                }
            }
            let now = self.now();
            let out = self.detector.tick(now);
            self.take(out);
        }
    }

    fn state(&self, no: u32) -> DeviceState {
        self.detector.state(DeviceNo(no)).unwrap()
    }

    fn kinds(&self, no: u32) -> Vec<EventKind> {
        self.events
            .iter()
            .filter(|event| event.device.0 == no)
            .map(|event| EventKind::from_code(event.kind).unwrap())
            .collect()
    }
}

#[test]
fn a_device_is_down_after_three_retries_and_up_at_the_first_answer() {
    let mut site = Site::new(&[(1, true, true)]);
    site.live(60);
    assert_eq!((site.state(1), site.events.len()), (DeviceState::Up, 0));
    site.cut(1);
    site.live(15);
    assert_eq!(site.state(1), DeviceState::Down);
    site.mend(1);
    site.live(70);
    assert_eq!(site.state(1), DeviceState::Up);
    assert_eq!(
        site.kinds(1),
        vec![EventKind::DeviceDown, EventKind::DeviceUp]
    );
    assert!(
        site.events[0]
            .text
            .as_str()
            .contains("no answer to 4 tries")
    );
    assert!(
        site.events[1]
            .text
            .as_str()
            .starts_with("answers again after")
    );
}

#[test]
fn a_lost_echo_is_no_outage() {
    let mut site = Site::new(&[(1, true, false)]);
    site.live(30);
    for _ in 0..20 {
        site.silent.insert((1, By::Ping));
        site.live(12);
        site.mend(1);
        site.live(1);
        // whatever was lost, fewer than four in a row were
        if site.state(1) == DeviceState::Down {
            return; // 12 s of silence are four tries
        }
    }
    panic!("twelve seconds of silence are an outage");
}

#[test]
fn three_lost_echoes_are_no_outage() {
    let mut site = Site::new(&[(1, true, false)]);
    site.live(30);
    for _ in 0..50 {
        for seen in [Seen::Silence, Seen::Silence, Seen::Silence, Seen::Answer] {
            site.now_ms += 1_000;
            let now = site.now();
            let out = site.detector.seen(DeviceNo(1), By::Ping, seen, now);
            assert!(out.events.is_empty());
        }
    }
    assert_eq!(site.state(1), DeviceState::Up);
}

#[test]
fn ping_that_fails_while_snmp_answers_is_degraded_and_never_down() {
    let mut site = Site::new(&[(1, true, true)]);
    site.live(60);
    site.silent.insert((1, By::Ping));
    site.live(200);
    assert_eq!(site.state(1), DeviceState::Degraded);
    assert_eq!(site.kinds(1), vec![EventKind::DeviceDegraded]);
    site.mend(1);
    site.live(20);
    assert_eq!(site.state(1), DeviceState::Up);
    site.silent.insert((1, By::Snmp));
    site.live(200);
    assert_eq!(site.state(1), DeviceState::Degraded);
    assert!(site.events.last().unwrap().text.as_str().contains("SNMP"));
}

#[test]
fn what_never_worked_cannot_fail() {
    let mut site = Site::new(&[(1, true, false)]);
    let now = site.now();
    site.detector
        .set_means(DeviceNo(1), Some(true), Some(false));
    site.live(30);
    for _ in 0..10 {
        let out = site
            .detector
            .seen(DeviceNo(1), By::Snmp, Seen::Silence, now);
        assert!(out.events.is_empty());
    }
    assert_eq!(site.state(1), DeviceState::Up);
}

#[test]
fn a_refused_credential_is_degraded_with_its_reason() {
    let mut site = Site::new(&[(1, false, true)]);
    site.live(60);
    site.now_ms += 1_000;
    let now = site.now();
    let out = site.detector.seen(
        DeviceNo(1),
        By::Snmp,
        Seen::Refusal("wrong auth password"),
        now,
    );
    assert_eq!(out.events[0].text.as_str(), "SNMP: wrong auth password");
    assert_eq!(site.state(1), DeviceState::Degraded);
}

#[test]
fn those_behind_a_dead_parent_are_unreachable_and_come_back_quietly() {
    let mut site = Site::new(&[
        (1, true, true),
        (2, true, true),
        (3, true, false),
        (4, true, true),
    ]);
    site.parents(&[(2, &[1]), (3, &[2]), (4, &[1])]);
    site.live(60);
    for no in [1, 2, 3, 4] {
        site.cut(no);
    }
    site.live(40);
    assert_eq!(site.state(1), DeviceState::Down);
    for no in [2, 3, 4] {
        assert_eq!(site.state(no), DeviceState::Unreachable, "device {no}");
    }
    let (devices, _) = site.detector.snapshot(site.now());
    assert_eq!(
        devices
            .iter()
            .map(|device| device.behind.0)
            .collect::<Vec<_>>(),
        vec![0, 1, 1, 1]
    );
    let downs = |site: &Site| {
        site.events
            .iter()
            .filter(|event| event.kind == EventKind::DeviceDown.code())
            .count()
    };
    assert_eq!(downs(&site), 1, "one cause");
    for no in [1, 2, 4] {
        site.mend(no);
    }
    site.live(100);
    assert_eq!(site.state(4), DeviceState::Up);
    assert_eq!(
        site.state(3),
        DeviceState::Down,
        "its way is open, and it is silent"
    );
    assert_eq!(downs(&site), 2);
}

#[test]
fn a_child_with_a_living_parent_is_down_itself() {
    let mut site = Site::new(&[(1, true, false), (2, true, false), (3, true, false)]);
    site.parents(&[(3, &[1, 2])]);
    site.live(30);
    site.cut(3);
    site.cut(1);
    site.live(30);
    assert_eq!(site.state(1), DeviceState::Down);
    assert_eq!(site.state(3), DeviceState::Down, "its other way was open");
}

#[test]
fn when_nothing_at_the_site_answers_the_way_into_it_is_the_one_cause() {
    // Two trees and a device that hangs on nothing known.
    let all = [
        (1, true, true),
        (2, true, true),
        (3, true, false),
        (4, false, true),
        (5, true, false),
    ];
    let mut site = Site::new(&all);
    site.parents(&[(2, &[1]), (4, &[3])]);
    site.live(70);
    for (no, ..) in all {
        site.cut(no);
    }
    site.live(100);
    for (no, ..) in all {
        assert_eq!(site.state(no), DeviceState::Unreachable, "device {no}");
    }
    let (devices, _) = site.detector.snapshot(site.now());
    assert!(
        devices
            .iter()
            .all(|device| device.behind.0 == 0 && device.reason == blame::WAY)
    );
    assert!(
        site.checks.len() < 10,
        "nobody is asked in a hurry: {:?}",
        site.checks
    );

    // The way is open again, and one of them has died meanwhile.
    for no in [1, 2, 3, 4] {
        site.mend(no);
    }
    site.live(130);
    for no in [1, 2, 3, 4] {
        assert_eq!(
            site.kinds(no),
            [EventKind::DeviceUnreachable, EventKind::DeviceUp],
            "device {no}"
        );
    }
    assert_eq!(
        site.kinds(5),
        [EventKind::DeviceUnreachable, EventKind::DeviceDown]
    );
}

#[test]
fn while_anybody_answers_the_silent_are_down_themselves_and_at_once() {
    let mut site = Site::new(&[
        (1, true, false),
        (2, true, false),
        (3, true, false),
        (4, false, true),
    ]);
    site.live(60);
    for no in [1, 2, 3] {
        site.cut(no);
    }
    site.live(20);
    for no in [1, 2, 3] {
        assert_eq!(site.kinds(no), [EventKind::DeviceDown], "device {no}");
    }
    assert_eq!(site.state(4), DeviceState::Up);
    // The last one goes, too: those before it were found down by themselves, and stay so.
    site.cut(4);
    site.live(90);
    assert_eq!(site.kinds(4), [EventKind::DeviceDown]);
    assert_eq!(site.kinds(1), [EventKind::DeviceDown]);
}

#[test]
fn flapping_is_said_once_and_every_change_is_kept() {
    let mut site = Site::new(&[(1, true, false)]);
    site.live(30);
    for _ in 0..10 {
        site.cut(1);
        site.live(15);
        site.mend(1);
        site.live(15);
    }
    let kinds = site.kinds(1);
    let count = |kind| kinds.iter().filter(|k| **k == kind).count();
    assert_eq!(count(EventKind::DeviceDown), 10);
    assert_eq!(count(EventKind::DeviceUp), 10);
    assert_eq!(count(EventKind::DeviceFlapping), 1);
    site.live(700);
    assert_eq!(
        site.kinds(1).last(),
        Some(&EventKind::DeviceFlapping),
        "and once that it is over"
    );
}

#[test]
fn a_restart_of_the_probe_repeats_no_news() {
    for still_holds in [true, false] {
        let mut site = Site::new(&[]);
        site.means.insert(1, (true, false));
        let remembered = Remembered {
            state: DeviceState::Down,
            since: Timestamp(5),
            reason: String::new(),
            still_holds,
        };
        let now = site.now();
        site.detector
            .add(DeviceNo(1), Some(true), None, Some(remembered), now);
        let at_start = if still_holds {
            DeviceState::Down
        } else {
            DeviceState::Unknown
        };
        assert_eq!(site.state(1), at_start);
        site.cut(1);
        site.live(30);
        assert_eq!(site.state(1), DeviceState::Down);
        assert_eq!(site.detector.snapshot(site.now()).0[0].since, Timestamp(5));
        if still_holds {
            assert!(site.events.is_empty());
        } else {
            let [event] = site.events.as_slice() else {
                panic!("Central has to be told once");
            };
            assert!(event.text.as_str().starts_with("as before"));
        }
        site.events.clear();
        site.mend(1);
        site.live(20);
        assert_eq!(site.kinds(1), vec![EventKind::DeviceUp]);
    }
}

#[test]
fn the_first_word_of_a_device_is_told() {
    let mut site = Site::new(&[]);
    site.means.insert(1, (true, false));
    let now = site.now();
    site.detector.add(DeviceNo(1), Some(true), None, None, now);
    site.live(30);
    assert_eq!(site.kinds(1), vec![EventKind::DeviceUp]);
    assert_eq!(site.events[0].state, DeviceState::Up.code());
}

#[test]
fn what_may_not_be_asked_is_unknown_and_says_why_once() {
    const WHY: &str = "not asked: outside";
    let mut site = Site::new(&[(1, true, true)]);
    site.cut(1);
    site.live(30);
    assert_eq!(site.state(1), DeviceState::Down);
    let at = site.now();
    let out = site.detector.not_asked(DeviceNo(1), WHY, at);
    assert_eq!(out.changed, [DeviceNo(1)]);
    site.take(out);
    assert_eq!(
        site.detector.not_asked(DeviceNo(1), WHY, at),
        Outcome::default()
    );
    assert_eq!(site.state(1), DeviceState::Unknown);
    let (devices, _) = site.detector.snapshot(at);
    assert_eq!(
        (devices[0].reason.as_str(), devices[0].since),
        (WHY, at.wall)
    );

    // The probe starts again: it is no news.
    let mut remembered = site.detector.remember(DeviceNo(1));
    site.detector.remove(DeviceNo(1));
    let later = Moment {
        wall: at.wall.plus_ms(60_000),
        ..at
    };
    site.detector.add(
        DeviceNo(1),
        Some(true),
        Some(true),
        remembered.take(),
        later,
    );
    assert_eq!(
        site.detector.not_asked(DeviceNo(1), WHY, later),
        Outcome::default()
    );
    assert_eq!(site.detector.snapshot(later).0[0].since, at.wall);

    // And it may be asked again.
    site.detector.set_means(DeviceNo(1), Some(true), Some(true));
    site.mend(1);
    site.live(10);
    assert_eq!(
        site.kinds(1),
        [
            EventKind::DeviceDown,
            EventKind::DeviceUnwatched,
            EventKind::DeviceUp
        ]
    );
}

#[test]
fn a_restarted_device_is_told_once() {
    let mut site = Site::new(&[(1, true, true)]);
    site.live(60);
    for (after_s, ticks) in [(60, 500_000), (60, 506_000), (60, 2_000), (60, 8_000)] {
        site.now_ms += after_s * 1_000;
        let now = site.now();
        let out = site.detector.uptime(DeviceNo(1), ticks, now);
        site.take(out);
    }
    assert_eq!(site.kinds(1), vec![EventKind::DeviceRebooted]);
}

#[test]
fn a_port_that_was_switched_off_is_no_fault() {
    let mut site = Site::new(&[(1, true, true)]);
    let mut port = |admin: u8, oper: u8| {
        let now = site.now();
        site.detector
            .interface(
                DeviceNo(1),
                InstanceNo(3),
                || "Gi0/3".to_owned(),
                Some(admin),
                Some(oper),
                now,
            )
            .events
            .into_iter()
            .map(|event| event.text.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(port(1, 1).is_empty(), "the first reading is no news");
    assert_eq!(port(1, 2), vec!["Gi0/3 is down"]);
    assert!(port(1, 2).is_empty());
    assert_eq!(port(1, 1), vec!["Gi0/3 is up"]);
    assert!(port(2, 2).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { ..ProptestConfig::default() })]

    /// Whatever is cut and mended: what answers ends up `up`, what does not ends up `down` or `unreachable`, those that
    /// are unreachable stand behind something that is down, and no state is told twice in a row.
    #[test]
    fn states_follow_the_truth(
        devices in prop::collection::vec((any::<bool>(), any::<bool>(), any::<prop::sample::Index>()), 2..9),
        roots in 1_u32..4,
        moves in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 1_i64..90), 1..12),
    ) {
        let list: Vec<_> = devices
            .iter()
            .zip(1_u32..)
            .map(|((ping, snmp, _), no)| (no, *ping || !*snmp, *snmp))
            .collect();
        let mut site = Site::new(&list);
        // one to three trees: every device but the first ones hangs below an earlier one
        let tree: Vec<(u32, Vec<u32>)> = devices
            .iter()
            .zip(1_u32..)
            .skip(roots as usize)
            .map(|((_, _, at), no)| (no, vec![at.index(no as usize - 1) as u32 + 1]))
            .collect();
        let borrowed: Vec<_> = tree.iter().map(|(no, of)| (*no, of.as_slice())).collect();
        site.parents(&borrowed);
        site.live(70);
        let mut broken = BTreeSet::new();
        let reached = |no: u32, broken: &BTreeSet<u32>| {
            let mut at = no;
            loop {
                if broken.contains(&at) {
                    return false;
                }
                match tree.iter().find(|(child, _)| *child == at) {
                    Some((_, of)) => at = of[0],
                    None => return true,
                }
            }
        };
        for (which, cut, seconds) in moves {
            let no = which.index(list.len()) as u32 + 1;
            if cut { broken.insert(no); } else { broken.remove(&no); }
            for (no, _, _) in &list {
                if reached(*no, &broken) { site.mend(*no) } else { site.cut(*no) }
            }
            site.live(seconds);
        }
        site.live(200);
        for (no, _, _) in &list {
            let state = site.state(*no);
            if reached(*no, &broken) {
                prop_assert_eq!(state, DeviceState::Up, "device {}", no);
            } else {
                prop_assert!(is_outage(state), "device {} is {}", no, state);
            }
        }
        let (now, _) = site.detector.snapshot(site.now());
        for device in now.iter().filter(|device| device.behind.0 != 0) {
            prop_assert_eq!(site.detector.state(device.behind), Some(DeviceState::Down));
        }
        for (no, _, _) in &list {
            let mut last = None;
            for kind in site.kinds(*no).into_iter().filter(|kind| *kind != EventKind::DeviceFlapping) {
                prop_assert_ne!(last, Some(kind));
                last = Some(kind);
            }
        }
    }
}
