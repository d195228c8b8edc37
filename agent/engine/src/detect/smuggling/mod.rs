//! HTTP request smuggling: what one reader of a message made two of.
//!
//! The bytes of a request prove nothing: the same ones are an attack before a server that leaves a content
//! on the socket, and harmless before one that reads it. What proves it is what the server writes. So a
//! request that may carry another one ([`Carrier`]) is kept with all the ways that it can be read, and the
//! answers on its connection decide between them:
//!
//! | what is seen | verdict |
//! | --- | --- |
//! | a final response begins though every request has its own | confirmed |
//! | a status line among the fields of a response to a carrier | confirmed |
//! | an answer to a request that is content in another reading, which ends where the sender had stopped | confirmed |
//! | the same wherever that ends, when the front end never delivers the answer | confirmed, probable where what came in could not be read |
//! | a request sent behind another, whose line stands, in whatever code, in the request that both are for | suspicious, confirmed once it is served |
//! | a request sent behind another where what came in could not be read, and is not passed on by a relay | suspicious, probable once it is served |
//! | what may be the content of a request that was answered without it is answered, and that never delivered | probable |
//! | bytes behind the answers to all requests, or an answer within one without an end, and a content that holds a request | probable |
//! | a content ends within a request, and the next answer names that one's target, not its own | probable |
//! | a request asked for more than HTTP, in vain, and the next one passes a front end, that adds fields, as it came | probable |
//! | an upgrade to h2c that passed a front end | suspicious, probable once another request follows in it |
//! | a 400, 414, 431, 501 or 505 though every request has its answer, and a content that holds a request | probable |
//! | framing that can be read in more than one way | suspicious |
//!
//! What was lost or not seen lowers a verdict to suspicious: an answer may be that to a request whose record is missing.

mod ambiguous;
mod carrier;
mod decoded;
mod hand;
mod hidden;
mod missing;
mod origin;
mod reading;
mod report;
mod request_line;
mod split;
mod swapped;
mod tunnel;
mod words;

pub use ambiguous::{Ambiguities, ambiguous, explains, once};
pub use carrier::Carrier;
pub use hand::is_of_the_same_hand;
pub use missing::Unread;
pub use origin::Origin;
pub use reading::is_ambiguous;
pub use report::{
    Asked, Ghost, SMUGGLING, Write, extra_answer, hit, odd_answer, swallowed, swapped, two_status_lines,
    unread,
};
pub use split::{Split, Way, Within, came_with, cost, split};
pub use swapped::Swapped;
pub use tunnel::{
    PassedOn, Tunnel, another_request, asks_for_more, cleartext_http2, switches_to, upgrades_to,
};
pub use words::{name, named, refuses};
