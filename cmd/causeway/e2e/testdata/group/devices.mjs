// The cameras and microphones of the people of the tests. Chromium's own microphone without a human is a beep now and then, and nobody is found to
// speak by it: they say something longer.
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const rate = 48_000;
const seconds = 10;

// devices are the arguments of a Chromium with a camera and a microphone, which may be used without asking, and whose calls may stay on this
// machine. What is said is kept in folder.
export function devices(folder) {
    const voice = join(folder, "tone.wav");
    tone(voice);
    return [
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", `--use-file-for-fake-audio-capture=${voice}`, "--disable-gpu",
        "--autoplay-policy=no-user-gesture-required", "--mute-audio", "--allow-loopback-in-peer-connection",
        "--auto-select-desktop-capture-source=Entire screen", "--disable-features=WebRtcHideLocalIpsWithMdns",
    ];
}

// modest is a window of Element Call that costs little to paint: several of them are at once on a machine that may have other work. In one that is
// smaller yet it is another page.
export const modest = { viewport: { width: 700, height: 640 }, reducedMotion: "reduce", permissions: ["camera", "microphone"] };

// tone writes a WAV file with a tone that swells and fades as speech does.
function tone(file) {
    const samples = rate * seconds;
    const wav = Buffer.alloc(44 + 2 * samples);
    wav.write("RIFF", 0);
    wav.writeUInt32LE(36 + 2 * samples, 4);
    wav.write("WAVEfmt ", 8);
    wav.writeUInt32LE(16, 16); // the length of what describes the format:
    wav.writeUInt16LE(1, 20); // PCM,
    wav.writeUInt16LE(1, 22); // one channel,
    wav.writeUInt32LE(rate, 24);
    wav.writeUInt32LE(2 * rate, 28); // bytes a second,
    wav.writeUInt16LE(2, 32); // bytes a sample,
    wav.writeUInt16LE(16, 34); // bits a sample
    wav.write("data", 36);
    wav.writeUInt32LE(2 * samples, 40);
    for (let i = 0; i < samples; i++) {
        const t = i / rate;
        const swell = 0.7 + 0.3 * Math.sin(2 * Math.PI * 3 * t);
        const voice = 0.6 * Math.sin(2 * Math.PI * 200 * t) + 0.3 * Math.sin(2 * Math.PI * 800 * t) + 0.1 * Math.sin(2 * Math.PI * 2500 * t);
        wav.writeInt16LE(Math.round(14_000 * swell * voice), 44 + 2 * i);
    }
    // Another browser may begin to read it at this moment: with half of it, somebody would say nothing.
    const part = `${file}.${process.pid}`;
    writeFileSync(part, wav);
    renameSync(part, file);
}
