//! Rules that a text scenario misses: what it expects does not happen without them.

use std::path::Path;

use fatebound_sim::Script;

fn play(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/scripts")
        .join(name);
    let script = std::fs::read_to_string(path).expect("a script is text");
    if let Err(error) = Script::parse(&script).run() {
        panic!("{name}: {error}");
    }
}

#[test]
fn tick_for_the_goodbye() {
    play("links-shutdown.txt");
}
