/** The face of the demo page, drawn before the rest of the page has arrived. */

import { Face } from "./face.js";

export const face = new Face(document.getElementById("face"), {
  label: "The avatar: a museum guide with brown hair, a blue coat and a yellow scarf",
});
document.getElementById("too-old").remove();
