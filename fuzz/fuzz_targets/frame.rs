//! Bytes from a stranger: whatever they are, they decode to a message or they do not, and that is all that happens.
//!
//! What decodes encodes again to something that decodes to the same. What decoding allocates is bounded by what came in: a few bytes that
//! claim to be a long list cost a few bytes.

#![no_main]

use fatebound_machine::fng::message::{Answer, Request};
use fatebound_machine::overlay::Versions;
use fatebound_machine::process_groups::Carried;
use fatebound_machine::process_groups::message::Packet;
use fatebound_machine::tree::{Operation, Tell};
use fatebound_machine::wire;
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes that decoding may allocate for each byte that came in: the largest element of a list that may be announced by one byte.
const PER_BYTE: usize = 256;
/// Bytes that it may allocate whatever came in: boxes of the message itself.
const BASE: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    decodes(bytes, wire::decode_frame);
    decodes(bytes, |bytes| wire::decode_question(bytes, Versions::OURS));
    decodes(bytes, wire::decode_answer);
    // What frames, questions and answers carry for the layers above.
    decodes(bytes, wire::decode::<Operation>);
    decodes(bytes, wire::decode::<Tell>);
    decodes(bytes, wire::decode::<Request>);
    decodes(bytes, wire::decode::<Answer>);
    decodes(bytes, wire::decode::<Packet>);
    decodes(bytes, wire::decode::<Carried>);
});

fn decodes<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, wire::WireError>)
where
    T: serde::Serialize + PartialEq + std::fmt::Debug,
{
    bounded(bytes, &decode);
    comes_back(bytes, &decode);
}

fn bounded<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, wire::WireError>) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let decoded = decode(bytes);
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    drop(decoded);
    assert!(
        peak <= BASE + PER_BYTE * bytes.len(),
        "{peak} bytes allocated for {} bytes",
        bytes.len()
    );
}

fn comes_back<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, wire::WireError>)
where
    T: serde::Serialize + PartialEq + std::fmt::Debug,
{
    let Ok(value) = decode(bytes) else { return };
    let encoded = wire::encode(&value);
    assert!(encoded.len() <= bytes.len(), "our own encoding is the shortest");
    assert_eq!(decode(&encoded).as_ref(), Ok(&value));
}
