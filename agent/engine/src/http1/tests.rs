//! Placeholder of the tables.
use super::*;

#[test]
fn smoke() {
    let mut parser = Parser::new(Role::Request);
    let mut input: &[u8] =
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n";
    loop {
        let (n, event) = parser.step(input, Answering::default());
        input = &input[n..];
        println!("{n} {event:?}");
        if event.is_none() && input.is_empty() {
            break;
        }
    }
    assert!(parser.is_idle());
}
