//! The probe's side: polls, dials, pushes, and carries out what answers mean.

use std::collections::VecDeque;

use super::*;

impl World {
    pub(super) fn tick(&mut self, at: usize) {
        let slot = self.now / SLOT_MS;
        if self.probers[at].gone {
            return;
        }
        if self.probers[at].process.is_none() {
            if self.now >= self.probers[at].up_at {
                self.start(at, slot);
            }
            return;
        }
        let prober = &mut self.probers[at];
        let probe = prober.probe;
        let Some(process) = &mut prober.process else {
            return;
        };
        if slot <= process.last_slot || self.quiet {
            return;
        }
        let first = process.last_slot + 1;
        process.last_slot = slot;
        if self.now < self.disk_full_until {
            let from = process.owed.map_or(first, |owed| owed.0);
            process.owed = Some((from, slot));
            return;
        }
        if let Some((from, to)) = process.owed.take() {
            prober
                .spool
                .give_up(Lane::Samples, from, to, GapReason::DiskFull);
            prober.spool.last_slot = to;
        }
        let epoch = prober.spool.running();
        if process.layouts_of != Some(epoch) {
            process.layouts_of = Some(epoch);
            let content = self.truths.aux(epoch.0);
            prober.spool.append(epoch, Lane::Events, LAYOUTS, content);
        }
        let poison = self.weather.poison > 0 && self.rng.one_in(self.weather.poison);
        let id = self.truths.add(Truth {
            probe,
            lane: Lane::Samples,
            slot,
            poison,
            destroyed: false,
            dropped: false,
            pruned: false,
            rekeyed: 0,
            aux: false,
        });
        let content = Content {
            id,
            number: epoch.0,
            gap_from: first,
            slot,
        };
        let key = prober.spool.append(epoch, Lane::Samples, SAMPLES, content);
        note!(
            self,
            "probe {probe}#{at} made {key} id {id} slots {first}..={slot}{}",
            if poison { " poison" } else { "" }
        );
        if self.rng.one_in(3) {
            self.state[probe] += 1;
            let id = self.truths.add(Truth {
                probe,
                lane: Lane::Events,
                slot,
                poison: false,
                destroyed: false,
                dropped: false,
                pruned: false,
                rekeyed: 0,
                aux: false,
            });
            let content = Content {
                id,
                number: self.state[probe],
                gap_from: slot,
                slot,
            };
            let key = prober.spool.append(epoch, Lane::Events, EVENTS, content);
            note!(
                self,
                "probe {probe}#{at} event {key} id {id} state {}",
                self.state[probe]
            );
        }
        let before = self.now - self.weather.replay_ms;
        prober.spool.prune_before(before, &mut self.truths);
        prober.spool.make_room(
            self.weather.spool_rows,
            &mut self.truths,
            self.rules.forget_dropped,
        );
    }

    pub(super) fn start(&mut self, at: usize, slot: i64) {
        let random = self.rng.next();
        let prober = &mut self.probers[at];
        if prober.spool.starts == 0 {
            prober.spool.known_from = slot;
            prober.spool.last_slot = slot - 1;
        }
        let epoch = prober.spool.start_epoch(0, random);
        let last_slot = if self.rules.no_start_gap {
            slot - 1
        } else {
            prober.spool.last_slot
        };
        prober.process = Some(Process {
            sender: Sender::new(self.weather.limits),
            ops: VecDeque::new(),
            conn: None,
            last_slot,
            redial_at: Tick(self.now),
            layouts_of: None,
            owed: None,
        });
        note!(
            self,
            "probe {}#{at} starts epoch {epoch}",
            self.probers[at].probe
        );
    }

    pub(super) fn prober_step(&mut self, at: usize) {
        let Some(process) = &mut self.probers[at].process else {
            return;
        };
        if let Some(op) = process.ops.pop_front() {
            self.prober_op(at, op);
        } else if let Some(conn) = process.conn {
            self.push(at, conn);
        } else if self.now >= process.redial_at.0 {
            self.dial(at);
        }
    }

    pub(super) fn dial(&mut self, at: usize) {
        let random = self.rng.next();
        let reachable = self.central_up() && self.now >= self.network_up_at;
        let prober = &mut self.probers[at];
        let Some(process) = &mut prober.process else {
            return;
        };
        if !reachable {
            process.redial_at = process
                .sender
                .closed(Closed::Lost, Tick(self.now), random)
                .redial_at;
            return;
        }
        let stock = prober.spool.stock();
        let facts = Facts {
            now: Timestamp(self.now),
            boot_ms: self.now,
            ..Facts::default()
        };
        let hello = process.sender.hello(&stock, facts);
        note!(
            self,
            "probe {}#{at} dials with lease {}",
            prober.probe,
            hello.lease
        );
        let mut conn = Conn {
            prober: at,
            probe_open: true,
            ..Conn::default()
        };
        conn.up[Stream::Events as usize].push_back(Up::Hello(hello));
        process.conn = Some(self.next_conn);
        self.conns.insert(self.next_conn, conn);
        self.next_conn += 1;
    }

    /// Sends one order, or the dropped ranges.
    pub(super) fn push(&mut self, at: usize, id: usize) {
        let prober = &mut self.probers[at];
        let (Some(process), Some(conn)) = (&mut prober.process, self.conns.get_mut(&id)) else {
            return;
        };
        if !process.sender.is_open() {
            return;
        }
        process.sender.refresh(&prober.spool.heads());
        for dropped in process.sender.next_dropped() {
            note!(
                self,
                "probe {}#{at} tells dropped {dropped:?}",
                prober.probe
            );
            conn.up[Stream::Events as usize].push_back(Up::Dropped(dropped));
        }
        for stream in Stream::ALL {
            let Next::Send(order) = process.sender.next(stream, Tick(self.now)) else {
                continue;
            };
            let limit = 1 + self.rng.index(8);
            let size = self.weather.batch_bytes;
            let (batches, missing) = prober
                .spool
                .read(&order, limit, |id| 1 + (id * 7_919) % size);
            for key in missing {
                process.sender.missing(key);
            }
            for (batch, bytes) in batches {
                let key = BatchKey {
                    epoch: batch.epoch,
                    lane: order.lane,
                    seq: batch.seq,
                };
                note!(
                    self,
                    "probe {}#{at} sends {key} on {stream:?}",
                    prober.probe
                );
                process.sender.sent(stream, key, bytes);
                conn.up[stream as usize].push_back(Up::Batch(batch));
            }
            break;
        }
    }

    pub(super) fn prober_op(&mut self, at: usize, op: Op) {
        let random = self.rng.next();
        let prober = &mut self.probers[at];
        let probe = prober.probe;
        note!(self, "probe {probe}#{at} does {op:?}");
        let Some(process) = &mut prober.process else {
            return;
        };
        let spool = &mut prober.spool;
        match op {
            Op::Greet(greeting) => {
                spool.settle(Some(greeting.lease), &greeting.settlements, self.now);
                if let Some(above) = greeting.new_epoch_above {
                    process.ops.push_back(Op::StartEpoch(above));
                }
                if let Some((from, to)) = greeting.unaccounted {
                    process.ops.push_back(Op::Unaccounted(from, to));
                }
                process.ops.push_back(Op::Begin);
                process.ops.push_back(Op::Emit(greeting.want_layouts));
            }
            Op::StartEpoch(above) => {
                spool.start_epoch(above, random);
            }
            Op::Unaccounted(from, to) => {
                let (from, to) = (from.ms() / SLOT_MS, to.ms() / SLOT_MS - 1);
                let mut content = self.truths.aux(spool.running);
                (content.gap_from, content.slot) = (from, to);
                let last_slot = spool.last_slot;
                spool.append(spool.running(), Lane::Samples, SAMPLES, content);
                (spool.last_slot, spool.known_from) = (last_slot, from);
            }
            Op::Emit(wants) => {
                for want in wants {
                    if spool.layouts.contains(&want.epoch) {
                        let content = self.truths.aux(want.epoch.0);
                        spool.append(spool.running(), Lane::Events, LAYOUTS, content);
                    }
                }
            }
            Op::Begin => {
                if let Some(conn) = process.conn.and_then(|id| self.conns.get_mut(&id)) {
                    let marks = process.sender.begin(&spool.heads(), Tick(self.now));
                    let part = SnapshotPart {
                        lease: marks.lease,
                        part: 0,
                        parts: 1,
                        epoch: marks.epoch,
                        events_from_seq: marks.events_from_seq,
                        samples_from_seq: marks.samples_from_seq,
                        at: Timestamp(self.now),
                        devices: Vec::new(),
                        interfaces: Vec::new(),
                    };
                    let up = Up::Snapshot(part, self.state[probe]);
                    conn.up[Stream::Events as usize].push_back(up);
                }
            }
            Op::Settle(settlement) => {
                spool.settle(None, &[settlement], self.now);
            }
            Op::Rekey(keys) => spool.rekey(&keys, &mut self.truths, random),
            Op::Blame(key) => {
                let closes = spool.rows.get_mut(&key).map_or(0, |row| {
                    row.closes += 1;
                    row.closes
                });
                if closes >= POISON_CLOSES && !self.rules.never_quarantine {
                    spool.set_aside(key, GapReason::Quarantined, &mut self.truths);
                }
            }
        }
    }

    pub(super) fn probe_closed(&mut self, at: usize, why: Closed) {
        let random = self.rng.next();
        let now = Tick(self.now);
        let Some(process) = &mut self.probers[at].process else {
            return;
        };
        if let Some(conn) = process.conn.take().and_then(|id| self.conns.get_mut(&id)) {
            conn.probe_open = false;
            conn.down = Default::default();
        }
        // What had not been done of the greeting goes with the session; what is on disk stays.
        process.ops.retain(|op| {
            matches!(
                op,
                Op::Settle(_) | Op::Rekey(_) | Op::Emit(_) | Op::Blame(_)
            )
        });
        let after = process.sender.closed(why, now, random);
        process.redial_at = after.redial_at;
        if let Some(key) = after.blamed {
            process.ops.push_back(Op::Blame(key));
        }
        note!(
            self,
            "probe {}#{at} session over: {why:?}, blamed {:?}",
            self.probers[at].probe,
            after.blamed
        );
    }

    pub(super) fn answered(&mut self, at: usize, down: Down) {
        let random = self.rng.next();
        let Some(process) = &mut self.probers[at].process else {
            return;
        };
        match down {
            Down::Answer(mut answer) if self.rules.forget_lacking && answer.refused.is_empty() => {
                // Whatever was acknowledged once is thought to be there still.
                self.rules.forget_lacking = false;
                for lane in self.probers[at].spool.stock().lanes {
                    for told in &mut answer.committed {
                        if (told.epoch, told.lane) == (lane.epoch, lane.lane.code()) {
                            let mut progress = crate::session::Progress::from(&*told);
                            for &(from, to) in lane.acked.ranges() {
                                progress.cover(from, to);
                            }
                            *told = progress.to_committed(lane.epoch, lane.lane);
                        }
                    }
                }
                self.answered(at, Down::Answer(answer));
                self.rules.forget_lacking = true;
            }
            Down::Answer(answer) => match process.sender.answer(&answer, Tick(self.now), random) {
                Answered::Accepted(greeting) => {
                    process.ops.push_back(Op::Greet(Box::new(greeting)))
                }
                Answered::Refused { word, redial_at } => {
                    note!(self, "#{at} refused: {word}");
                    process.redial_at = redial_at;
                    if let Some(conn) = process.conn.take().and_then(|id| self.conns.get_mut(&id)) {
                        conn.probe_open = false;
                    }
                }
            },
            Down::Ack(mut ack) => {
                note!(self, "#{at} gets {ack:?}");
                if self.rules.believe_watermarks {
                    let told = crate::session::Progress::from(&ack.committed);
                    ack.decided = told
                        .done()
                        .ranges()
                        .iter()
                        .flat_map(|r| r.0..=r.1)
                        .collect();
                }
                let Acked {
                    settlement,
                    conflicts,
                    want_layouts,
                } = process.sender.ack(&ack);
                process.ops.push_back(Op::Settle(settlement));
                if !conflicts.is_empty() {
                    process.ops.push_back(Op::Rekey(conflicts));
                }
                if !want_layouts.is_empty() {
                    process.ops.push_back(Op::Emit(want_layouts));
                }
            }
        }
    }
}
