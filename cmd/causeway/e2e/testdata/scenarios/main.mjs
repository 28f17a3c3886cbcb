// Runs the scenarios, each with people of its own, against the homeserver whose address is the first argument. Each line of standard
// output is what became of one: {"name", "error", "people"}, who are their user ids. Standard error has the SDK's log.
import { Console } from "node:console";

globalThis.console = new Console(process.stderr);
// What a scenario that has failed was still waiting for.
process.on("unhandledRejection", (error) => console.error("unhandled:", error?.message ?? error));

const { Person } = await import("./people.mjs");
const { Gopher } = await import("./gopher.mjs");
const chapters = await Promise.all(
    ["messages", "threads", "presence", "reading", "returning", "guests", "spaces", "membership", "lazy", "sliding", "delayed", "encryption", "verification", "backup", "twolanguages", "qr", "services"].map(
        (name) => import(`./${name}.mjs`),
    ),
);

// stages is how many scenarios are played at the same time: they know nothing of each other, and most of their time they wait.
const stages = 4;

const [baseUrl, only] = process.argv.slice(2);

// play runs one scenario, and says what has become of it.
async function play(name, scenario) {
    const cast = [];
    const joined = (person) => {
        cast.push(person);
        return person;
    };
    const cue = async (who) => joined(await Person.register(baseUrl, who));
    cue.joined = joined;
    cue.guest = async () => joined(await Person.guest(baseUrl));
    cue.again = async (person, deviceId) => joined(await person.again(deviceId));
    cue.restarted = (person) => joined(person.restarted());
    cue.puppet = async (id, token) => joined(await Gopher.puppet(baseUrl, id, token));
    cue.gopher = async (person) => Object.assign(joined(await Gopher.login(person)), { person });
    let error;
    try {
        await scenario(cue);
    } catch (failure) {
        error = String(failure?.stack ?? failure);
    }
    cast.forEach((person) => person.stop());
    process.stdout.write(JSON.stringify({ name, error, people: cast.map((person) => person.id) }) + "\n");
}

const waiting = chapters
    .flatMap((chapter) => Object.entries(chapter))
    .filter(([name]) => !only || name.includes(only));

// stage plays scenarios, one after the other, until there is none left.
async function stage() {
    while (waiting.length > 0) {
        await play(...waiting.shift());
    }
}

await Promise.all(Array.from({ length: stages }, stage));
process.exit(0);
