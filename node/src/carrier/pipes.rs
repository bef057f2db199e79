//! Pipes of the carrier: not carried yet, every one fails.

use fatebound_machine::{Input, PipeInput, PipeOutput};

use super::Carrier;

impl Carrier {
    pub(super) fn pipe(&mut self, output: PipeOutput) {
        if let PipeOutput::Open { peer, .. } = output {
            self.tell(Input::Pipe(PipeInput::Failed { peer }));
        }
    }
}
