"""For uvicorn: one event loop, and httpx for the calls. The hop is a `call_later`."""

import asyncio

import httpx

import plan

CLIENT = httpx.AsyncClient(base_url="http://%s:%d" % plan.LEAF, trust_env=False)


async def call(target):
    """One call, after a while."""
    await asyncio.sleep(plan.wait())
    (await CLIENT.get(target)).raise_for_status()


async def in_turn(targets):
    """One after the other."""
    for target in targets:
        await call(target)


async def parallel(targets):
    """All at once."""
    await asyncio.gather(*map(call, targets))


async def hop(targets):
    """By a task that a timer begins."""
    loop = asyncio.get_running_loop()
    begun = loop.create_future()
    loop.call_later(plan.wait(), lambda: begun.set_result(loop.create_task(in_turn(targets))))
    await (await begun)


MAKE = {"turn": in_turn, "parallel": parallel, "hop": hop}[plan.HOW]


async def application(scope, receive, send):
    """Calls, then answers."""
    assert scope["type"] == "http" and not (await receive()).get("more_body")
    await MAKE(plan.calls(scope["path"]))
    headers = [(b"content-length", b"3")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok\n"})
