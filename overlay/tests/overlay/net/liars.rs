//! Nodes that lie about who is on the ring: they are what every other node is, but for their answers.

use fatebound_overlay::directory::message::Reply;
use fatebound_overlay::message::{Answer, Message, OneShot, RoutedAnswer, Signed};
use fatebound_overlay::{Input, Output};

use super::{ANSWER, Net, keypair, signed};

impl Net {
    /// A liar hands no `Join` on: it says itself where the joiner belongs.
    pub(super) fn answered_with_a_lie(&mut self, at: usize, input: Input) -> Option<Input> {
        let (Some(lie), Input::Received { session, message }) = (self.lies.get(&at), &input) else {
            return Some(input);
        };
        let Message::Routed(routed) = message else {
            return Some(input);
        };
        let Signed {
            from, number, ref body, ..
        } = routed.body;
        if !matches!(body, OneShot::Join { .. }) {
            return Some(input);
        }
        let answer = RoutedAnswer {
            trail: routed.visited.clone(),
            body: signed(&keypair(at), from, number, Answer::Records(lie.clone()), ANSWER),
        };
        let (session, message) = (*session, Message::RoutedAnswer(Box::new(answer)));
        self.carry_out(at, Output::Send { session, message });
        None
    }

    fn belied_about_names(&self, at: usize, output: Output) -> Output {
        let Some((_, lie)) = self.directory_lie.as_ref().filter(|(liar, _)| *liar == at) else {
            return output;
        };
        let shown = Box::new(Reply::Record(Box::new(lie.clone())));
        match output {
            Output::Respond {
                request,
                body: Answer::Directory(_),
            } => Output::Respond {
                request,
                body: Answer::Directory(shown),
            },
            Output::Send {
                session,
                message: Message::RoutedAnswer(mut answer),
            } => {
                if let (Signed { to, number, .. }, Answer::Nearest { around, .. }) = (&answer.body, &answer.body.body) {
                    let around = around.clone();
                    let body = Answer::Nearest { around, reply: shown };
                    answer.body = signed(&keypair(at), *to, *number, body, ANSWER);
                }
                let message = Message::RoutedAnswer(answer);
                Output::Send { session, message }
            }
            output => output,
        }
    }

    /// What a liar says instead of an answer of its own; what others have signed it can only carry.
    pub(super) fn belied(&self, at: usize, output: Output) -> Output {
        let output = self.belied_about_names(at, output);
        let Some(lie) = self.lies.get(&at) else {
            return output;
        };
        match output {
            Output::Respond {
                request,
                body: Answer::Records(_),
            } => {
                let body = Answer::Records(lie.clone());
                Output::Respond { request, body }
            }
            Output::Send {
                session,
                message: Message::RoutedAnswer(mut answer),
            } if answer.body.from == self.nodes[at].peer && matches!(answer.body.body, Answer::Records(_)) => {
                let Signed { to, number, .. } = answer.body;
                answer.body = signed(&keypair(at), to, number, Answer::Records(lie.clone()), ANSWER);
                let message = Message::RoutedAnswer(answer);
                Output::Send { session, message }
            }
            output => output,
        }
    }
}
