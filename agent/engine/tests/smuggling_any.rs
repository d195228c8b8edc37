//! Whatever is said in whatever order, the engine holds.

mod scene;

use proptest::{collection, prelude::*};
use scene::{
    Client, Scene, Server,
    chain::{F, S},
    smuggling::*,
};
use tracer_common::direction::RECEIVE;

const PIECES: [&str; 21] = [
    PREFIX,
    TE0,
    CL_TE_FORWARDED,
    "POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n0x5\r\n",
    "POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n",
    CL0,
    HEAD_OF_CL0,
    EVIL,
    CL_TE,
    TE_CL,
    ODD_NAME,
    HALF,
    OK,
    BAD,
    "GET /b HTTP/1.1\r\n\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "GET /c HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
    "G",
    "\r\n",
    "0\r\n\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever two ends say in whatever order, the engine holds, and its spans are whole.
    #[test]
    fn nothing_that_is_said_breaks_it(
        said in collection::vec((0..PIECES.len(), 0..8u8, 0..60usize), 1..24),
    ) {
        let mut s = Scene::new();
        let inbound = s.accept(80);
        let upstream = s.connect(F, 81);
        for (piece, what, cut) in said {
            let bytes = PIECES[piece];
            let part = &bytes[..bytes.floor_char_boundary(cut)];
            match what {
                0 => s.recv(F, inbound, Server, bytes),
                1 => s.send(F, inbound, Server, bytes),
                2 => s.pass((F, Client), S, upstream, bytes),
                3 => s.pass((S, Server), F, upstream, bytes),
                4 => s.failed_send(S, upstream, Server, 32, bytes),
                5 => s.part(F, inbound, Server, RECEIVE, bytes.len(), part.as_bytes()),
                6 => s.recv(F, inbound, Server, part),
                _ => s.lost(1),
            }
        }
        s.wait(5_000);
        s.finish();
    }
}
