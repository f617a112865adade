//! The connections and Central's tasks behind them.

use std::collections::VecDeque;

use super::*;

impl World {
    pub(super) fn deliver(&mut self, id: usize) {
        let (central_up, reorder) = (self.central_up(), self.weather.reorder);
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let lane = self.rng.index(3);
        let upward = self.rng.one_in(2);
        if upward {
            if !central_up || conn.closed.is_some() {
                conn.up = Default::default();
                self.forget(id);
                return;
            }
            // Live and backlog are read only once the snapshot is confirmed; the events stream waits for it in between.
            let events = lane == Stream::Events as usize;
            let ready = match &conn.session {
                None => events && !conn.hello_taken,
                Some(session) => session.receiver.is_open() || (events && session.ops.is_empty()),
            };
            if !ready {
                return;
            }
            let queue = &mut conn.up[lane];
            let at = if reorder && !events {
                self.rng.index(queue.len().min(4))
            } else {
                0
            };
            let Some(up) = queue.remove(at) else {
                self.forget(id);
                return;
            };
            if let Up::Batch(batch) = &up
                && reorder
                && !events
                && self.rng.one_in(8)
            {
                queue.push_back(Up::Batch(batch.clone()));
            }
            self.central_takes(id, lane, up);
        } else if conn.probe_open {
            let at = conn.prober;
            let queue = &mut conn.down[lane];
            let index = if reorder && lane != Stream::Events as usize {
                self.rng.index(queue.len().min(4))
            } else {
                0
            };
            if let Some(down) = queue.remove(index) {
                if let Down::Ack(ack) = &down
                    && reorder
                    && self.rng.one_in(8)
                {
                    queue.push_back(Down::Ack(ack.clone()));
                }
                self.answered(at, down);
            } else if let Some(reason) = conn.closed {
                let why = reason.map_or(Closed::Lost, Closed::ByPeer);
                self.probe_closed(at, why);
                self.forget(id);
            }
        } else {
            self.forget(id);
        }
    }

    /// Drops a connection that nobody holds any more.
    pub(super) fn forget(&mut self, id: usize) {
        if let Some(conn) = self.conns.get(&id)
            && !conn.probe_open
            && conn.session.is_none()
            && (conn.closed.is_some() || conn.up.iter().all(VecDeque::is_empty))
        {
            self.conns.remove(&id);
        }
    }

    pub(super) fn central_takes(&mut self, id: usize, lane: usize, up: Up) {
        let stream = [Stream::Backlog, Stream::Live, Stream::Events][lane];
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let probe = self.probers[conn.prober].probe;
        if conn.probe_open {
            self.heard.insert(probe, self.now);
        }
        if let Some(session) = &mut conn.session {
            session.receiver.heard(Tick(self.now));
            if let Up::Batch(batch) = &up {
                let content = Content::of(&batch.body);
                if self.truths.at(content.id).poison {
                    note!(self, "Central chokes on {}/{}", batch.epoch, batch.seq);
                    self.central_closes(id, Some(CloseReason::Unsaid));
                    return;
                }
            }
            if let Err(broken) = session.take(stream, up) {
                note!(self, "Central: {broken:?}");
                self.central_closes(id, Some(CloseReason::Protocol));
            }
            return;
        }
        let Up::Hello(hello) = up else {
            return;
        };
        conn.hello_taken = true;
        let rival = self.conns.iter().find_map(|(other, conn)| {
            let session = conn.session.as_ref()?;
            (*other != id && session.probe == probe).then(|| {
                let rival = Rival {
                    lease: session.receiver.lease(),
                    confirmed: session.confirmed,
                    heard_ms_ago: self.now - session.receiver.last_heard().0,
                };
                (*other, rival)
            })
        });
        let row = self
            .files
            .events
            .leases
            .get(&probe)
            .copied()
            .unwrap_or_default();
        let verdict = judge(row, &hello, rival.map(|rival| rival.1));
        note!(
            self,
            "Central judges lease {} of probe {probe} against {row:?}: {verdict:?}",
            hello.lease
        );
        match verdict {
            Verdict::Refuse(refuse) => {
                let answer = refusal(&refuse, Timestamp(self.now));
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.down[Stream::Events as usize].push_back(Down::Answer(answer));
                }
            }
            Verdict::Accept(accept) => {
                let stored: LeaseRow = accept.row;
                self.files.events.leases.insert(probe, stored);
                if let Some((other, _)) = rival {
                    self.central_closes(other, Some(CloseReason::Superseded));
                }
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.session = Some(Session::new(probe, accept, hello, Tick(self.now)));
                }
            }
        }
    }

    /// Ends a session at Central; jobs that it has handed to the files may still be carried out.
    pub(super) fn central_closes(&mut self, id: usize, reason: Option<CloseReason>) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.closed = Some(reason);
            if let Some(session) = conn.session.take()
                && session.has_work()
            {
                self.zombies.push(session);
            }
        }
    }

    pub(super) fn central_step(&mut self) {
        if !self.central_up() {
            return;
        }
        if !self.zombies.is_empty() && self.rng.one_in(3) {
            let at = self.rng.index(self.zombies.len());
            self.files
                .step(&mut self.zombies[at], self.now, &self.rules);
            if !self.zombies[at].has_work() {
                self.zombies.swap_remove(at);
            }
            return;
        }
        let busy: Vec<usize> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.session.as_ref().is_some_and(Session::has_work))
            .map(|(id, _)| *id)
            .collect();
        if busy.is_empty() {
            return;
        }
        let id = busy[self.rng.index(busy.len())];
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if let Some(session) = &mut conn.session {
            // The hello is answered when the jobs of earlier sessions are done.
            if session.is_to_answer()
                && !self.rules.race_of_sessions
                && self
                    .zombies
                    .iter()
                    .any(|zombie| zombie.probe == session.probe)
            {
                return;
            }
            for (stream, down) in self.files.step(session, self.now, &self.rules) {
                conn.down[stream as usize].push_back(down);
            }
        }
    }
}
