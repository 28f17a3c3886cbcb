// Events that are sent later.
import { equal, fails, ok } from "./people.mjs";

async function one(cue) {
    const alice = await cue("alice");
    await alice.start();
    return { alice, roomId: await alice.makesRoom() };
}

export async function delayedEventIsSentInTime(cue) {
    const { alice, roomId } = await one(cue);
    const before = Date.now();
    const { delay_id: delayId } = await alice.client._unstable_sendDelayedEvent(roomId, { delay: 1500 }, null, "m.room.message", {
        msgtype: "m.text",
        body: "later",
    });
    ok(delayId, "the delay id");
    const list = await alice.client._unstable_getDelayedEvents("scheduled");
    equal((list.scheduled ?? list.delayed_events).map((d) => d.delay_id), [delayId], "what is scheduled");
    const event = await alice.until("the event", () =>
        alice.room(roomId).getLiveTimeline().getEvents().find((e) => e.getContent().body === "later"),
    );
    ok(event.getTs() >= before + 1500, `it came ${event.getTs() - before} ms after it was scheduled`);
}

export async function delayedStateIsRestartedSentAndCancelled(cue) {
    const { alice, roomId } = await one(cue);
    const call = (n) => alice.room(roomId).currentState.getStateEvents("com.example.call", n)?.getContent();
    const schedule = async (key) =>
        (await alice.client._unstable_sendDelayedStateEvent(roomId, { delay: 600_000 }, "com.example.call", { gone: true }, key)).delay_id;
    const [sent, cancelled] = [await schedule("sent"), await schedule("cancelled")];
    await alice.client._unstable_restartScheduledDelayedEvent(sent);
    await alice.client._unstable_sendScheduledDelayedEvent(sent);
    await alice.until("the state that was sent", () => call("sent")?.gone);
    await alice.client._unstable_cancelScheduledDelayedEvent(cancelled);
    await fails(alice.client._unstable_cancelScheduledDelayedEvent("nosuchid"), "M_NOT_FOUND");
    equal(call("cancelled") ?? null, null, "the state that was cancelled");
}
