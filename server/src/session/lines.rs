//! A line of a member: what kind it is of, and what becomes of one that is no message.

use super::{Flow, Session};
use crate::connection::bye_line;
use crate::dispatch::execution_result::ReadAnswer;
use crate::member::Member;
use common::sys::sync::Arc;
use common::wire::ByeReason;
use common::wire::fast_decode::Plain;
use common::wire::message::{Code, Id, Malformed, Message, RpcError, error_line};

/// Malformed lines after which the connection of a member is closed: it does not speak the
/// protocol well. Before `join` the first one is enough.
const MOST_ERRORS: u32 = 16;

impl Session<'_> {
    /// Never inline, like others here: what it needs of the stack stays out of the frame of
    /// [`read_lines`](Self::read_lines), which every idle session keeps.
    #[inline(never)]
    pub(super) fn line(&mut self, member: &Arc<Member>, line: &[u8]) -> Flow {
        match Plain::read(line) {
            Some(plain) => self.plain_line(member, plain),
            None => self.any_line(member, line),
        }
    }

    #[inline(never)]
    fn any_line(&mut self, member: &Arc<Member>, line: &[u8]) -> Flow {
        match Message::parse(line) {
            Ok(Message::Answer { id, body }) => {
                self.answer(member, id.as_ref(), &body);
                Flow::Continue(())
            }
            Ok(Message::Request { id, method, params }) => {
                self.lives = true;
                match member.sends.is_open(&id) {
                    true => self.id_in_use(id),
                    false => self.request(member, id, &method, params),
                }
            }
            Ok(Message::Notification { method, params }) => {
                self.lives = true;
                self.notification(member, &method, params)
            }
            Err(malformed) => {
                self.lives = true;
                self.malformed(malformed)
            }
        }
    }

    #[inline(never)]
    fn id_in_use(&mut self, id: Id) -> Flow {
        self.malformed(already_open(id))
    }

    /// Handles a line of the kinds and in the form that most have; everything else takes the
    /// long way.
    fn plain_line(&mut self, member: &Arc<Member>, plain: Plain<'_>) -> Flow {
        match plain {
            Plain::Send { id, request } => {
                self.lives = true;
                return self.send(member, &Id::from(id), &request);
            }
            Plain::Result { id, executed } => {
                self.answer_of(member, id, ReadAnswer::Executed(executed));
            }
            Plain::Output(output) => {
                self.lives = true;
                self.output(member, output);
            }
            Plain::Input(piece) => {
                self.lives = true;
                self.input(member, piece);
            }
        }
        Flow::Continue(())
    }

    #[inline(never)]
    pub(super) fn malformed(&mut self, mut malformed: Malformed) -> Flow {
        let is_open = |id: &mut Id| self.member.as_ref().is_some_and(|m| m.sends.is_open(id));
        if let Some(id) = malformed.id.take_if(is_open) {
            // An error with that id would be taken for the answer to the open request.
            malformed.error.data.id = Some(id.into());
        }
        log::debug!("{}: {}", self.connection.peer(), malformed.error);
        self.tell(error_line(malformed.id, &malformed.error));
        self.errors += 1;
        if self.errors < MOST_ERRORS {
            return Flow::Continue(());
        }
        let message = format!("{MOST_ERRORS} lines were no messages of this protocol");
        self.last_line = Some(bye_line(ByeReason::TooManyErrors, &message));
        self.connection.blame(message);
        Flow::Break(())
    }
}

pub(super) fn already_open(id: Id) -> Malformed {
    let mut error = RpcError::new(
        Code::InvalidRequest,
        format!("the request id {id} is still open; use another one"),
    );
    error.data.id = Some(id.into());
    Malformed { id: None, error }
}
