// Those who look in: guests, and people who are not in the room.
import { EventType, GuestAccess, HistoryVisibility } from "matrix-js-sdk";
import { equal, fails, ok } from "./people.mjs";

const worldReadable = { type: EventType.RoomHistoryVisibility, state_key: "", content: { history_visibility: HistoryVisibility.WorldReadable } };
const openToGuests = { type: EventType.RoomGuestAccess, state_key: "", content: { guest_access: GuestAccess.CanJoin } };

// peeks looks at a room as it is, and as it goes on.
async function peeks(person, alice, roomId) {
    const room = await person.client.peekInRoom(roomId);
    equal([room.name, room.getMyMembership()], ["Market", "leave"], "the room from outside");
    ok(room.getLiveTimeline().getEvents().some((e) => e.getContent().body === "fresh fish"), "what was said before");
    // The SDK asks for what comes after its first question, and does not say when that was asked: something is said until it is heard.
    const said = [];
    const crier = setInterval(async () => said.push(await alice.says(roomId, "fresher fish")), 200);
    await person.until("what is said now", () => said.some((eventId) => person.event(roomId, eventId))).finally(() => clearInterval(crier));
    await fails(person.client.sendTextMessage(roomId, "how much?"), "M_FORBIDDEN");
    person.client.stopPeeking();
}

export async function strangerPeeksIntoAWorldReadableRoom(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom({ name: "Market", initial_state: [worldReadable] });
    await alice.says(roomId, "fresh fish");
    await peeks(bob, alice, roomId);
    const closed = await alice.makesRoom({ name: "Home" });
    await fails(bob.client.peekInRoom(closed), "M_FORBIDDEN");
    // What is not for all any more is not seen any more.
    await alice.client.sendStateEvent(roomId, EventType.RoomHistoryVisibility, { history_visibility: HistoryVisibility.Joined }, "");
    await alice.says(roomId, "for customers");
    const page = await bob.client.createMessagesRequest(roomId, null, 10, "b").catch((error) => ({ chunk: [], error }));
    ok(page.chunk.every((e) => e.content.body !== "for customers"), "what was said to those inside");
}

export async function guestLooksAndJoins(cue) {
    const [alice, guest] = [await cue("alice"), await cue.guest()];
    await Promise.all([alice.start(), guest.start()]);
    const roomId = await alice.makesRoom({ name: "Market", initial_state: [worldReadable, openToGuests] });
    await alice.says(roomId, "fresh fish");
    await peeks(guest, alice, roomId);
    await guest.joins(roomId);
    const said = await guest.says(roomId, "how much?");
    await alice.seesEvent(roomId, said);
    await guest.seesEvent(roomId, await alice.says(roomId, "two coins"));

    const closed = await alice.makesRoom({ name: "Home" });
    await fails(guest.client.joinRoom(closed), "M_GUEST_ACCESS_FORBIDDEN");
    await fails(guest.client.createRoom({}), "M_GUEST_ACCESS_FORBIDDEN");
    // The market closes to guests: they are shown the door.
    await alice.client.sendStateEvent(roomId, EventType.RoomGuestAccess, { guest_access: GuestAccess.Forbidden }, "");
    await guest.until("the door", () => guest.room(roomId).getMyMembership() === "leave");
    await alice.until("the guest to be gone", () => alice.room(roomId).getMember(guest.id)?.membership === "leave");
}
