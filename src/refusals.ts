/** Why an hour is refused: rows would be lost or doubled, so somebody has to decide. Pure. */
import { type CommandSettings, commandText } from "./command-text.js";
import type { Compared } from "./compare.js";
import { HourpackError } from "./errors.js";
import type { Hour } from "./hour.js";
import { keysOf, type Named } from "./named.js";
import type { Published } from "./tier1/manifest.js";
import { agreeing, count, counted } from "./words.js";

/** The hour, and the settings that its commands must repeat. */
export interface NamedHour {
  dataset: string;
  hour: Hour;
  settings: CommandSettings;
}

/** `expire` deleted objects because the part had their rows, and now the part is missing: what is listed is not the whole hour. */
export function partLost(of: NamedHour): HourpackError {
  return refusal(
    of,
    "its raw objects were expired after they had been packed, and the part is missing",
    `Bring the part back (from a backup or an older version in the bucket); or ${run(of, "--from-remainder")} packs what is still listed, and gives up all other rows.`,
  );
}

/** Somebody put an older part back. The newer one, which it replaced, had the rows of raw objects that are gone. */
export function olderPart(of: NamedHour, { key }: Published, missing: string): HourpackError {
  return refusal(
    of,
    `its raw objects were expired when a newer part had their rows, and an older one lies in its place (${key}, which was not made of ${missing})`,
    `Bring the newer part back (from a backup or an older version in the bucket); or ${run(of, "--rebuild --from-remainder")} packs what is still listed, and gives up all other rows.`,
  );
}

/** `expire` deleted objects because the part had their rows. An object that has their name now is a different one. */
export function expiredRows(of: NamedHour, { gone, overwritten, kept }: Compared): HourpackError {
  const twice = `To give these rows up all the same: ${run(of, "--rebuild --from-remainder")}.`;
  if (overwritten.count === 0) {
    const all = gone.count + kept.count;
    const orNot = kept.count > 0 ? ` or ${agreeing(all, "was")} overwritten` : "";
    return refusal(
      of,
      `${counted(all, "object")} of it expired${orNot} after having been packed, and the part has the only rows of them`,
      `Nothing is to be done about such an hour. ${twice}`,
    );
  }
  return refusal(
    of,
    `${counted(overwritten.count, "object")} of it ${agreeing(overwritten.count, "has")} other content than when it was packed (${keysOf(overwritten)}), raw objects of it expired since, and the part has the only rows of them`,
    `Copy what is new to a name that the hour has not had, where it is packed as a late object; ${run(of, "--keep-old")} passes this version over. ${twice}`,
  );
}

/** If these counted as late objects, their rows would be in the part twice. */
export function movedObjects(of: NamedHour, moved: Named, gone: Pick<Named, "count">): HourpackError {
  const others = gone.count - moved.count;
  const givenUp =
    others > 0 ? `, and gives up the rows of ${count(others)} more that ${agreeing(others, "is")} gone` : "";
  return refusal(
    of,
    `${counted(moved.count, "late object")} of it ${agreeing(moved.count, "has")} the size and ETag of others that are gone, as if they had been moved, and their rows are in the part already (gone: ${keysOf(moved)})`,
    `Say what is meant: ${run(of, "--from-remainder")} packs what is listed now (right where they were moved)${givenUp}; ${run(of, "--keep-old")} keeps the published rows and adds these objects' rows to them (where they were moved, these are there twice then).`,
  );
}

/** The rows cannot be rebuilt without the objects that are gone, nor read under today's columns. */
export function otherColumns(of: NamedHour, { schemaVersion }: Published): HourpackError {
  const restore = commandText("restore", of.settings, { dataset: of.dataset, hours: of.hour });
  return refusal(
    of,
    `its rows were written under version ${schemaVersion} of the columns, and a column of today would take the place of one that holds their values`,
    `Take that column out of the configuration where no hour was packed with it yet. Else keep the part as it is: ${restore} gives its records back, to be put beside the new objects, and ${run(of, "--rebuild --from-remainder")} packs what is listed then.`,
  );
}

/** Today's settings would make other rows of the same objects, and those objects are gone. */
export function otherRecipe(
  of: NamedHour,
  published: Published,
  compared: Compared,
  others: string,
): HourpackError {
  return refusal(
    of,
    `${lateBeside(published, compared)}, and it was packed under other settings (${others}): its rows can be kept as they are, but not rebuilt (${namesOf(compared)})`,
    `Put the settings back, or say what is meant: ${run(of, "--keep-old")} keeps the rows and adds those of late objects under today's settings; ${run(of, "--from-remainder")} packs what is still listed, and gives up all other rows (right where the same records now lie under other names).`,
  );
}

/** The rows are complete, but columns that came since cannot be filled without the objects that are gone. */
export function columnsLacking(
  of: NamedHour,
  published: Published,
  compared: Compared,
  columns: string[],
): HourpackError {
  return refusal(
    of,
    `${lateBeside(published, compared)}, and its rows were made before ${columns.join(", ")}: they can be kept, but not rebuilt to have a value there (${namesOf(compared)})`,
    `${run(of, "--keep-old")} keeps them, with NULL in what they lack, and adds those of late objects: nothing of a record is lost, and no run asks again.`,
  );
}

/**
 * `why` says what keeps the part from staying as it is, besides objects that are gone or were passed over. Without `why` a
 * rebuild was asked for; `--from-remainder` alone would then do nothing, if the part is in step with the listing.
 */
export function rowsLost(
  of: NamedHour,
  published: Published,
  compared: Compared,
  why?: string,
): HourpackError {
  const { changes, gone } = compared;
  const isAll = gone.count === published.objects && changes.added === 0;
  const [keep, giveUp] =
    why === undefined
      ? [
          "Leave the part as it is: without --rebuild its rows stay, and those of late objects are added. Or ",
          run(of, "--rebuild --from-remainder"),
        ]
      : [
          `Say what is meant: ${run(of, "--keep-old")} keeps the published rows, passes over the versions that are listed now, and adds only new objects; `,
          run(of, "--from-remainder"),
        ];
  return refusal(
    of,
    `${goneOf(published, compared)} and ${why ?? "a rebuild was asked for"}, so its rows can neither be kept nor rebuilt without loss (${namesOf(compared)})`,
    isAll
      ? "Keep the part as it is: it has the only rows there are, and --from-remainder would give all of them up."
      : `${keep}${giveUp} packs what is still listed, and gives up all other rows.`,
  );
}

function run({ dataset, hour, settings }: NamedHour, flags: string): string {
  return commandText("run", settings, { dataset, hours: hour, flags });
}

/** Late objects are the reason to decide, so they come first: `3 late objects came, 2 of its 5 objects are gone, 1 was passed over` */
function lateBeside(published: Published, compared: Compared): string {
  const { added } = compared.changes;
  const late = added > 0 ? `${counted(added, "late object")} came, ` : "";
  return late + goneOf(published, compared);
}

/** `2 of its 5 objects are gone, 1 was passed over` */
function goneOf({ objects }: Published, { gone, kept }: Compared): string {
  const words = [
    [gone.count, "is", "gone"],
    [kept.count, "was", "passed over"],
  ] as const;
  return words
    .filter(([some]) => some > 0)
    .map(([some, verb, what], i) => {
      const ofAll = i === 0 ? ` of its ${counted(objects, "object")}` : "";
      return `${count(some)}${ofAll} ${agreeing(some, verb)} ${what}`;
    })
    .join(", ");
}

/** `gone: a, b; overwritten: c` */
function namesOf({ gone, kept, overwritten }: Compared): string {
  return Object.entries({ gone, "passed over": kept, overwritten })
    .filter(([, named]) => named.count > 0)
    .map(([word, named]) => `${word}: ${keysOf(named)}`)
    .join("; ");
}

function refusal(of: NamedHour, why: string, hint: string): HourpackError {
  return new HourpackError("data", `plan ${of.dataset} ${of.hour}: ${why}`, { stage: "plan", hint });
}
