// Who is there, and who types.
import { SetPresence } from "matrix-js-sdk";
import { equal } from "./people.mjs";

export async function typingComesAndGoes(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    await alice.until("bob", () => alice.room(roomId).getMember(bob.id)?.membership === "join");
    await bob.client.sendTyping(roomId, true, 30_000);
    await alice.until("bob to type", () => alice.room(roomId).getMember(bob.id).typing);
    await bob.client.sendTyping(roomId, false, 0);
    await alice.until("bob to stop", () => !alice.room(roomId).getMember(bob.id).typing);
    // By itself, after the time that was said.
    await bob.client.sendTyping(roomId, true, 300);
    await alice.until("bob to type again", () => alice.room(roomId).getMember(bob.id).typing);
    await alice.until("bob to have stopped", () => !alice.room(roomId).getMember(bob.id).typing);
}

export async function presenceIsSeenByThoseWhoShareARoom(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    await alice.until("bob to be online", () => alice.client.getUser(bob.id)?.presence === "online");
    await bob.client.setPresence({ presence: "unavailable", status_msg: "at lunch" });
    await alice.until("bob's status", () => {
        const user = alice.client.getUser(bob.id);
        return user.presence === "unavailable" && user.presenceStatusMsg === "at lunch";
    });
    const status = await alice.client.getPresence(bob.id);
    equal([status.presence, status.status_msg], ["unavailable", "at lunch"], "the status");
    // Nobody hears of those who hide.
    const carol = await cue("carol");
    await carol.start({});
    carol.client.setSyncPresence?.(SetPresence.Offline);
    equal(alice.client.getUser(carol.id), null, "a stranger's presence");
}
