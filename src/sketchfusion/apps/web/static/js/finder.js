// Searching while one draws: one search at a time, the newest wins.

import { ApiError, getJson, isAbort } from "./api.js";
import { whenBack } from "./away.js";

const STILL = 180; // milliseconds after the last stroke
const WHILE = 700; // between searches during a stroke
const SLIDE = 250; // after the last movement of the cut-off
const TOP = 30;

/** Tells "soon", "blank", "start", "found" {answer, gallery, like, more, fresh}, "named" {guesses}, "failed" {error}. */
export class Finder extends EventTarget {
  gallery = null;
  like = null; // {id, name} of a photo to find others like; null: the sketch
  labels = "";
  next = null;
  stop = null;
  timer = 0;
  asking = false; // the server, for the first photos
  due = false; // a search for the drawing, as soon as that is answered
  dropped = false; // whether the search before was ended without an answer
  searched = null; // the drawing of the last search, or the id of its photo
  named = 0; // how often a name was asked for

  constructor(drawing, book, options) {
    super();
    this.drawing = drawing;
    this.book = book;
    this.options = options;
    drawing.addEventListener("change", ({ detail }) => this.later(detail.settled));
    options.addEventListener("change", () => this.run());
    options.addEventListener("cutoff", () => this.in(SLIDE, () => this.run()));
  }

  /** Whether what is shown is not yet what was asked for. */
  get busy() { return Boolean(this.timer) || this.asking || this.due; }

  /** The drawing has changed: search once it is still, and every so often while a stroke goes on. */
  later(settled) {
    if (this.like) {
      this.turnTo(null);
      this.end();
    }
    if (this.drawing.isBlank) this.run();
    else if (settled) this.in(STILL, () => this.follow(!this.dropped));
    else if (!this.timer) this.in(WHILE, () => this.follow(false));
  }

  in(milliseconds, act) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = 0;
      act();
    }, milliseconds);
    this.tell("soon");
  }

  /** End the search that runs, whose answer is not wanted any more. */
  end() {
    this.dropped = this.asking;
    this.asking = false;
    this.stop?.abort();
  }

  /** Search for the drawing once the search for an earlier one is answered, or now, ending that. */
  follow(mayEnd) { // never two in a row, or on a slow machine there are no photos before the drawing is done
    if (mayEnd || !this.asking) this.run();
    else this.due = true;
  }

  /** Search in another gallery from now on, or in none; what still runs for the last one is dropped. */
  searchIn(gallery) {
    this.gallery = gallery;
    this.turnTo(null);
    this.searched = null;
    this.run();
  }

  /** The gallery has been indexed: the same search once more, where that may find something else. */
  renew(gallery, hasChanged) {
    this.gallery = gallery;
    if (hasChanged) this.run();
  }

  /** Search for photos like one; null: like the sketch. */
  similar(photo) {
    this.turnTo(photo);
    this.run();
  }

  /** What photos are to be like. A cut-off holds for one kind of score, so it goes with the other. */
  turnTo(photo) {
    if (Boolean(photo) !== Boolean(this.like)) this.options.forgetCutoff();
    this.like = photo;
  }

  /** Search now, for what is on the paper or the photo to be like. */
  async run() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.due = false;
    this.end();
    this.next = null;
    if (!this.gallery || (!this.like && this.drawing.isBlank)) {
      this.searched = null;
      this.tell("blank");
      if (!this.drawing.isBlank) this.name(null); // which needs no gallery
      return;
    }
    const { gallery, like } = this;
    const stop = new AbortController();
    this.stop = stop;
    this.asking = true;
    const about = like?.id ?? this.drawing.state;
    const fresh = about !== this.searched;
    this.tell("start", { fresh });
    if (!like) this.name(stop.signal);
    try {
      const answer = await this.ask(0, stop.signal);
      if (stop.signal.aborted) return;
      this.searched = about;
      this.next = answer.next_offset;
      this.asking = false;
      this.tell("found", { answer, gallery, like, more: false, fresh });
    } catch (error) {
      if (stop.signal.aborted) return;
      this.asking = false;
      if (!isAbort(error)) this.tell("failed", { error });
    }
    if (this.due) this.run();
  }

  /** The next photos of the same search. */
  async more() {
    const { gallery, like, stop, next } = this;
    if (next === null || this.timer || !stop || stop.signal.aborted) return; // timer: another search is near
    this.next = null;
    try {
      const answer = await this.ask(next, stop.signal);
      if (stop.signal.aborted) return;
      this.next = answer.next_offset;
      this.tell("found", { answer, gallery, like, more: true, fresh: false });
    } catch (error) {
      if (isAbort(error) || stop.signal.aborted) return;
      this.next = next;
      this.tell("failed", { error, more: true });
    }
  }

  ask(offset, signal) {
    const query = { top: TOP, offset, ...this.options.query() };
    const path = ["galleries", this.gallery.id];
    if (this.like) return getJson([...path, "similar"], { photo: this.like.id, ...query }, signal);
    return this.book.use((sketch) => getJson([...path, "search"], { sketch, ...query }, signal), signal);
  }

  /** Ask what the sketch is called. */
  async name(signal = this.stop?.signal) {
    if (this.drawing.isBlank) return;
    this.named += 1;
    const { named, labels, gallery } = this;
    const isLate = () => signal?.aborted || named !== this.named;
    try {
      const { guesses } = await this.book.use((sketch) => getJson(["sketches", sketch, "classes"],
        { top: 5, labels, gallery: gallery?.id }, signal), signal);
      if (!isLate()) this.tell("named", { guesses });
    } catch (error) {
      if (isAbort(error) || isLate() || !(error instanceof ApiError)) return;
      if (error.code === "unreachable") whenBack("name", () => this.name());
      const nameless = error.code === "invalid" && !labels;
      this.tell("named", { guesses: [], problem: nameless ? "This model has learned no names." : error.message });
    }
  }

  tell(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
