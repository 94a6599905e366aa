// Reads a feed (or, with the argument "opml", a list of subscriptions) and prints what was found.
import { readFileSync } from "node:fs";
import { parseFeed, parseOpml } from "feedsmith";

const parse = process.argv[2] === "opml" ? parseOpml : parseFeed;
console.log(JSON.stringify(parse(readFileSync(0, "utf-8"))));
