//! A faultbox that tests in other languages control over HTTP.
//!
//! | request | does |
//! |---|---|
//! | `POST /_faultbox/stall`, `{"kind": "Commit", "point": "AfterForward", "in": "/logs", "nth": 1}` | stalls the nth request of this kind from now on whose path contains `in` |
//! | `GET /_faultbox/stalls` | returns the number of stalled requests |
//! | `POST /_faultbox/release` | releases stalled requests |
//! | `POST /_faultbox/down`, `POST /_faultbox/up` | while down, answers 503 to all requests except stalling ones, without forwarding them |
//! | `POST /_faultbox/end` | ends the schedule's faults |
//! | `GET /_faultbox/notes` | returns the notes, one per line |

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use crate::faultbox::{CONTROL, Decide, Fault, Point};
use crate::gate::Gate;
use crate::http::{Request, RequestHead, Response};
use crate::schedule::{Kind, Process, Schedule};

/// The state that a remote test controls.
pub struct Control {
    process: Process,
    schedule: Arc<Schedule>,
    gate: Arc<Gate>,
    stall: Mutex<Option<Stall>>,
    down: AtomicBool,
}

/// A request that is to stall.
#[derive(Debug, Deserialize)]
struct Stall {
    kind: Kind,
    point: Point,
    /// A substring of its path.
    #[serde(default)]
    r#in: String,
    /// The number of such requests until then, including this one.
    #[serde(default = "one")]
    nth: u64,
}

fn one() -> u64 {
    1
}

impl Control {
    /// Controls the requests of a process of this name.
    #[must_use]
    pub fn new(schedule: Arc<Schedule>, name: String, gate: Arc<Gate>) -> Self {
        Self {
            process: Process::new(Arc::clone(&schedule), name, None),
            schedule,
            gate,
            stall: Mutex::default(),
            down: AtomicBool::new(false),
        }
    }

    /// The point at which this request must stall.
    fn stall(&self, head: &RequestHead) -> Option<Point> {
        let mut armed = self.stall.lock().unwrap_or_else(PoisonError::into_inner);
        let stall = armed.as_mut()?;
        if Kind::of(head) != stall.kind || !head.path().contains(&stall.r#in) {
            return None;
        }
        stall.nth = stall.nth.saturating_sub(1);
        if stall.nth > 0 {
            return None;
        }
        armed.take().map(|stall| stall.point)
    }
}

impl Decide for Control {
    fn decide(&self, head: &RequestHead) -> Fault {
        match self.stall(head) {
            Some(point) => {
                self.schedule
                    .note(|| format!("stalls at {point:?}: {} {}", head.method, head.target));
                Fault::Stall(point)
            }
            None if self.down.load(Ordering::SeqCst) => Fault::AnswerBefore(503),
            None => self.process.decide(head),
        }
    }

    fn answered(&self, head: &RequestHead, fault: Fault, status: Option<u16>) {
        self.process.answered(head, fault, status);
    }

    fn control(&self, request: &Request) -> Response {
        let head = &request.head;
        let path = head.path().strip_prefix(CONTROL).unwrap_or_default();
        match (head.method.as_str(), path) {
            ("POST", "stall") => match serde_json::from_slice(&request.body) {
                Ok(stall) => {
                    *self.stall.lock().unwrap_or_else(PoisonError::into_inner) = Some(stall);
                    Response::new(200, "")
                }
                Err(cause) => Response::new(400, cause.to_string()),
            },
            ("GET", "stalls") => Response::new(200, self.gate.stalls().to_string()),
            ("POST", "release") => {
                self.gate.release();
                Response::new(200, "")
            }
            ("POST", "down" | "up") => {
                self.down.store(path == "down", Ordering::SeqCst);
                Response::new(200, "")
            }
            ("POST", "end") => {
                self.schedule.end();
                Response::new(200, "")
            }
            ("GET", "notes") => Response::new(200, self.schedule.notes().join("\n")),
            _ => Response::new(404, "no such control"),
        }
    }
}
