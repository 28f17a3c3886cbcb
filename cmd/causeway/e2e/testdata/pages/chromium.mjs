// Chromium, and what every page has to be: see look. A script for a group of pages calls chromium once.
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { chromium as engine } from "playwright-core";

// Skip is why a step cannot be done on this machine.
export class Skip extends Error {}

// chromium starts the browser. Pictures are kept in folder, under names that begin with group. What a page says to the console counts where
// its address begins with site: pages of others may complain. What a page throws counts on all, but for errors whose message is known. args
// are more of its arguments.
export async function chromium(folder, group, { site = "", known = [], args = [] } = {}) {
    const browser = await engine.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", ...args] });
    const complaints = [];
    let shot = 0;

    // open makes a browser of somebody's own. What goes wrong on a page, as what its policy forbids, fails the step.
    async function open(options = {}) {
        const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, ...options });
        const page = await context.newPage();
        page.setDefaultTimeout(60_000); // as may be on a machine that has much other work
        // Pages that are refused are logged as errors, too: they are looked at in the steps.
        page.on("console", (m) => {
            if (m.type() === "error" && page.url().startsWith(site) && !m.text().includes("Failed to load resource")) complaints.push(`${page.url()}: ${m.text()}`);
        });
        page.on("pageerror", (e) => {
            if (!known.includes(e.message)) complaints.push(`${page.url()}: ${e}`);
        });
        return page;
    }

    // look keeps pictures of a page, as it is and on a narrow screen, and sees to it that it can be read there, without seeing, and by keyboard.
    async function look(page, name) {
        shot += 1;
        const file = join(folder, `${group}-${String(shot).padStart(2, "0")}-${name}`);
        await page.screenshot({ path: file + ".png", fullPage: true });
        assert.notEqual(await page.title(), "");
        assert.deepEqual(await page.evaluate(faults), [], "what keeps people out");
        const size = page.viewportSize();
        for (const width of [360, 320]) {
            await page.setViewportSize({ width, height: 640 });
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
            assert.ok(overflow <= 0, `the page is ${overflow} px too wide for a telephone`);
            if (width === 360) await page.screenshot({ path: file + "-360.png", fullPage: true });
        }
        await page.setViewportSize(size);
    }

    // run does the steps in turn. Each line of standard output is what became of one: {"name", "error", "skip"}. A step that cannot be done here
    // throws a Skip with the reason.
    async function run(steps) {
        for (const [name, step] of Object.entries(steps)) {
            let error, skip;
            try {
                await step();
                assert.deepEqual(complaints.splice(0), [], "what the browser complained of");
            } catch (failure) {
                if (failure instanceof Skip) skip = failure.message;
                else error = String(failure?.stack ?? failure);
            }
            process.stdout.write(JSON.stringify({ name, error, skip }) + "\n");
            if (error) break; // what follows builds on it
        }
    }

    // kill ends the browser as a crash does.
    async function kill() {
        const session = await browser.newBrowserCDPSession();
        const gone = new Promise((resolve) => browser.on("disconnected", resolve));
        session.send("Browser.crash").catch(() => {}); // nobody is there to answer
        await gone;
    }

    return { open, look, run, kill, close: () => browser.close() };
}

// faults finds what keeps people from using a page. It runs in the page.
function faults() {
    const found = [];
    const bad = (text, e) => found.push(e ? `${text}: ${e.outerHTML.slice(0, 120)}` : text);
    if (document.documentElement.lang !== "en") bad("no language");
    if (document.querySelectorAll("main").length !== 1) bad("not one main part");
    const headings = [...document.querySelectorAll("h1, h2, h3, h4")].map((e) => Number(e.tagName[1]));
    if (headings.filter((n) => n === 1).length !== 1 || headings[0] !== 1) bad("not one heading, first of all");
    headings.forEach((n, i) => i > 0 && n > headings[i - 1] + 1 && bad(`heading ${n} after ${headings[i - 1]}`));
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    if (new Set(ids).size !== ids.length) bad(`an id twice: ${ids}`);
    for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) {
        for (const id of (e.getAttribute("aria-describedby") ?? e.getAttribute("aria-labelledby")).split(" ")) {
            if (!document.getElementById(id)) bad(`described by ${id}, which is not there`, e);
        }
    }
    for (const e of document.querySelectorAll("input:not([type=hidden])")) {
        if (e.labels.length === 0) bad("a field without a label", e);
        if (e.type === "password" && !e.autocomplete) bad("a password that no manager fills in", e);
        if (e.getAttribute("aria-invalid") && !e.getAttribute("aria-describedby")) bad("a field that is wrong without a word", e);
    }
    for (const e of document.querySelectorAll("a, button")) {
        if (e.textContent.trim() === "") bad("without a name", e);
        if (e.tagName === "A" && !e.hasAttribute("href")) bad("leads nowhere", e);
        if (e.tagName === "BUTTON" && e.getBoundingClientRect().height < 20) bad("too small to hit", e);
    }
    for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) bad("an order of its own", e);
    if (document.querySelectorAll("[autofocus]").length > 1) bad("two fields want the focus");
    if (document.querySelector("meta[http-equiv=refresh]")) bad("a page that goes on by itself");

    // Texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3), and borders of fields below 3 (1.4.11).
    const rgb = (c) => c.match(/[\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const contrast = (c, d) => {
        const [a, b] = [luminance(rgb(c)), luminance(d)].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    };
    const behind = (e) => {
        for (; e; e = e.parentElement) {
            const c = rgb(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c;
        }
        return [255, 255, 255];
    };
    for (const e of document.querySelectorAll("body *")) {
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim() !== "")) continue;
        const ratio = contrast(getComputedStyle(e).color, behind(e));
        if (ratio < 4.5) bad(`contrast ${ratio.toFixed(2)}`, e);
    }
    for (const e of document.querySelectorAll("input:not([type=hidden]):not([type=checkbox])")) {
        const ratio = contrast(getComputedStyle(e).borderTopColor, behind(e.parentElement));
        if (ratio < 3) bad(`a border of contrast ${ratio.toFixed(2)}`, e);
    }
    return found;
}
