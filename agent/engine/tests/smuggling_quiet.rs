//! Ordinary traffic that only looks like request smuggling.

mod scene;

use scene::smuggling::*;

#[test]
fn what_only_looks_like_it() {
    const NEXT: &str = "GET /b HTTP/1.1\r\n\r\n";
    const CART: &str = "GET /cart HTTP/1.1\r\n\r\n";
    let cut = "http.ambiguous_framing suspicious: the content of POST /a ends within a request";
    let odd = "http.ambiguous_framing suspicious: POST /a can be framed in more than one way: cl and te";
    let content = "http.ambiguous_framing suspicious: the content of POST /a begins with a request";
    let cases: &[(&str, &[Op], &[&str])] = &[
        ("pipelined", &[Recv("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"), Send(OK), Send(OK)], &[]),
        (
            "pipelined behind a content",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n"),
                Send(OK),
                Send(OK),
            ],
            &[],
        ),
        ("read to its end", &[Recv(CL0), Send(OK), Recv(NEXT), Send(OK)], &[content]),
        (
            "a text about requests",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 22\r\n\r\n# try\nGET /x HTTP/1.1\n"),
                Send(OK),
                Recv(NEXT),
                Send(OK),
            ],
            &[],
        ),
        (
            "unfinished, and read to its end",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv(CART),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nyour /cart"),
            ],
            &[cut],
        ),
        (
            "unfinished, and the next answer names everything",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv(CART),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n/cart, see /admin"),
            ],
            &[cut],
        ),
        (
            "unfinished, and the next answer has links",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv(CART),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n<a href=\"/admin\">x"),
            ],
            &[cut],
        ),
        (
            "unfinished, and the next answer quotes it",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv(CART),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n1: GET /admin HTTP/1.1 X: y"),
            ],
            &[cut],
        ),
        ("written in vain", &[Recv(CL0), Reset, Fail(104, OK)], &[content]),
        (
            "written in vain, which is told in vain",
            &[Recv(CL0), Reset, Fail(32, OK), Fail(32, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")],
            &["http.request_smuggling suspicious: POST /a carried GET /admin, which was answered 500"],
        ),
        (
            "written in vain, in pieces",
            &[Recv(CL0), Reset, Fail(32, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), Fail(32, "ok")],
            &[content],
        ),
        (
            "pipelined and written in vain",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n"),
                Reset,
                Fail(32, OK),
                Fail(32, OTHER),
            ],
            &[],
        ),
        (
            "informational answers",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"),
                Send("HTTP/1.1 100 Continue\r\n\r\n"),
                Send("HTTP/1.1 103 Early Hints\r\n\r\n"),
                Send(OK),
            ],
            &[],
        ),
        (
            "an idle connection is told so",
            &[Recv(CL0), Send(OK), Send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")],
            &[content],
        ),
        (
            "refused, with nothing that was a request",
            &[Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"), Send(OK), Send(BAD)],
            &[],
        ),
        (
            "an answer of which more was written than announced",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay"),
            ],
            &[],
        ),
        (
            "the same behind what reads like a request",
            &[Recv(CL0), Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay")],
            &[content],
        ),
        (
            "an answer that holds an answer",
            &[Recv(CL0), Send("HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"), Send(OK)],
            &[content],
        ),
        (
            "no content for HEAD",
            &[
                Recv("HEAD /a HTTP/1.1\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
                Recv(NEXT),
                Send(OK),
            ],
            &[],
        ),
        (
            "no content that was modified",
            &[
                Recv(CL0),
                Send("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
                Recv(NEXT),
                Send(OK),
            ],
            &[content],
        ),
        (
            "content sent by the kernel",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
                SendCut(5000, ""),
                Recv(NEXT),
                Send(OK),
            ],
            &[content],
        ),
        (
            "the next answer, behind one of which bytes were not seen",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                SendCut(500, ""),
                Recv(NEXT),
                Send(OK),
            ],
            &[content],
        ),
        (
            "expects 100, is refused, asks again",
            &[
                Recv("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 19\r\n\r\n"),
                Send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
                Recv(NEXT),
                Send(OK),
            ],
            &[],
        ),
        (
            "length and coding that agree",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                Send(OK),
                Recv(NEXT),
                Send(OK),
            ],
            &[odd],
        ),
        (
            "a length that covers what came later",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 24\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                Send(OK),
                Recv(NEXT),
                Send(OK),
            ],
            &[odd],
        ),
        (
            "a length that covers nothing whole",
            &[
                Recv(
                    "POST /a HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
                ),
                Send(OK),
                Send(OK),
            ],
            &[odd],
        ),
        (
            "a coding nobody knows, then the next one byte by byte",
            &[Recv("POST /a HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\nabc"), Send(OK), Trickle(NEXT), Send(OK)],
            &["http.ambiguous_framing suspicious: POST /a can be framed in more than one way: odd coding"],
        ),
        (
            "what is no HTTP/1.1 is answered as such",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"),
                Send(OK),
                Recv("get /b HTTP/3.0\r\n\r\n"),
                Send("HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[],
        ),
        (
            "left over and refused within an answer",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"),
                Send("HTTP/1.1 200 OK\r\nServer: s\r\nHTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[],
        ),
        (
            "an application that answers twice",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"),
                Send(OK),
                Send("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[
                "http.request_smuggling suspicious: POST /a carried a request that was not captured, which was answered 500",
            ],
        ),
        (
            "frames of another protocol",
            &[
                Recv("POST /a HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"),
                Send("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
                Recv(EVIL),
                Send(OK),
            ],
            &[],
        ),
        (
            "too large, which is said before the content came",
            &[
                Recv(HEAD_OF_CL0),
                Send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
                Recv(EVIL),
                Reset,
            ],
            &[content],
        ),
        (
            "no content for 204",
            &[Recv(CL0), Send("HTTP/1.1 204 No Content\r\n\r\n"), Recv(NEXT), Send(OK)],
            &[content],
        ),
        (
            "what passes a tunnel",
            &[
                Recv("CONNECT h:80 HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\n\r\n"),
                Recv(CL0),
                Send(OK),
                Send(OK),
            ],
            &[],
        ),
        (
            "the next one is refused before its head is whole",
            &[Recv(CL0), Send(OK), Recv("GET /b HTTP/1.1\r\nHost"), Send(BAD)],
            &[content],
        ),
        (
            "a content for 204",
            &[Recv(CL0), Send("HTTP/1.1 204 No Content\r\n\r\n"), Send("<html>"), Recv(NEXT), Send(OK)],
            &[content],
        ),
        (
            "a content for HEAD, long after",
            &[
                Recv(CL0),
                Send(OK),
                Recv("HEAD /b HTTP/1.1\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                Send("hello"),
            ],
            &[content],
        ),
        (
            "a content without a length, of a server that closes",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nServer: s\r\nConnection: close\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok"),
            ],
            &[content],
        ),
        (
            "a content without a length, as before HTTP/1.1",
            &[
                Recv(CL0),
                Send("HTTP/1.0 200 OK\r\nServer: s\r\n\r\n"),
                Send("HTTP/1.0 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok"),
            ],
            &[content],
        ),
        (
            "a content that reads like an answer, written in vain",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
                Reset,
                Fail(32, "HTTP/1.1 404 No\r\n\r\n"),
            ],
            &[content],
        ),
        (
            "a content without a length that holds an answer of another server",
            &[
                Recv(CL0),
                Send("HTTP/1.0 200 OK\r\nServer: mine\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nServer: other\r\nContent-Length: 2\r\n\r\nok"),
            ],
            &[content],
        ),
        (
            "what was held back since it was refused comes all the same, and is read",
            &[
                Recv("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n"),
                Send("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"),
                Recv(EVIL),
                Recv(NEXT),
                Send(OK),
            ],
            &[],
        ),
        ("an answer to nobody", &[Recv(NEXT), Send(OK), Send(OK)], &[]),
    ];
    for (name, ops, expected) in cases {
        assert_eq!(server(ops), *expected, "{name}");
    }
}
