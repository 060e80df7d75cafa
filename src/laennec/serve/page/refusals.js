// Why a file was not read, how to mend it and, where the reason is long, its short form, by the service's code:
// [English, French] of each. `{why}` is what the service says after the colon.
const AGAIN = ["Try it again.", "Réessayez."];
const EXPORT_AGAIN = ["Export it again from where it came from.", "Exportez-la de nouveau depuis sa source."];
const KINDS = ["Choose a JPEG, PNG or DICOM file.", "Choisissez un fichier JPEG, PNG ou DICOM."];
const FRONTAL = ["Choose a file with a frontal chest radiograph.", "Choisissez un fichier contenant un thorax de face."];
const GATE = [
  "Not recognised as a frontal chest radiograph: {why}. Not read; this says nothing about the patient.",
  "Non reconnue comme une radiographie thoracique de face : {why}. Non lue ; cela ne dit rien du patient.",
];
const GATE_SHORT = ["Not recognised as a frontal chest radiograph", "Non reconnue comme un thorax de face"];

export const REFUSALS = {
  empty: [["The file is empty.", "Le fichier est vide."], EXPORT_AGAIN],
  corrupt_image: [["The file is damaged or cut short.", "Le fichier est endommagé ou incomplet."], EXPORT_AGAIN],
  unsupported_type: [["This is no JPEG, PNG or DICOM file.", "Ce n’est pas un fichier JPEG, PNG ou DICOM."], KINDS],
  unknown_syntax: [
    ["This DICOM file is compressed in a way that cannot be read here.", "Ce fichier DICOM est compressé d’une façon qui n’est pas lue ici."],
    ["Convert it to an uncompressed transfer syntax.", "Convertissez-le dans une syntaxe de transfert non compressée."],
  ],
  missing_extra: [
    ["The service lacks the part that reads this kind of file.", "Il manque au service ce qui lit ce genre de fichier."],
    ["Ask whoever runs the service to install it: {hint}", "Demandez à qui gère le service de l’installer : {hint}"],
  ],
  no_pixels: [["This DICOM file holds no picture.", "Ce fichier DICOM ne contient pas d’image."], ["Choose the file that holds the image.", "Choisissez le fichier qui contient l’image."]],
  many_frames: [["This file holds several frames.", "Ce fichier contient plusieurs vues."], ["Choose a file with a single radiograph.", "Choisissez un fichier contenant une seule radiographie."]],
  not_radiograph: [["This is no radiograph (of another modality).", "Ce n’est pas une radiographie (autre modalité)."], FRONTAL],
  not_chest: [GATE, FRONTAL, GATE_SHORT],
  lateral: [GATE, FRONTAL, GATE_SHORT],
  inverted: [
    GATE,
    ["Invert the greys of the file, or choose the original DICOM file.", "Inversez les gris du fichier, ou choisissez le fichier DICOM d’origine."],
    GATE_SHORT,
  ],
  turned: [GATE, ["Turn the picture of this file upright.", "Redressez l’image de ce fichier."], GATE_SHORT],
  blank: [["The picture is blank.", "L’image est vide."], EXPORT_AGAIN],
  too_large: [["The picture has too many pixels.", "L’image a trop de pixels."], ["Export it at a smaller size.", "Exportez-la en plus petit."]],
  body_too_large: [["The file is too large.", "Le fichier est trop lourd."], ["Export it at a smaller size, or compressed.", "Exportez-la en plus petit ou compressée."]],
  timeout: [["Reading it took too long.", "Sa lecture a pris trop de temps."], EXPORT_AGAIN],
  decoder_died: [["It could not be decoded.", "Elle n’a pas pu être décodée."], EXPORT_AGAIN],
  stalled: [["The file did not arrive in time.", "Le fichier n’est pas arrivé à temps."], AGAIN],
  no_space: [
    ["The service has no room left.", "Le service n’a plus de place."],
    ["Tell whoever runs the service.", "Prévenez qui gère le service."],
  ],
  deadline: [["The answer did not come in time.", "La réponse n’est pas venue à temps."], AGAIN],
  overloaded: [["The service has too much to do.", "Le service est surchargé."], ["Try it again later.", "Réessayez plus tard."]],
  stopping: [["The service is being stopped.", "Le service est en train de s’arrêter."], ["Try it again later.", "Réessayez plus tard."]],
  too_often: [["Too many requests.", "Trop de requêtes."], ["Try it again later.", "Réessayez plus tard."]],
  model_fault: [
    ["The model gave no valid answer.", "Le modèle n’a pas donné de réponse valable."],
    ["Tell whoever runs the service.", "Prévenez qui gère le service."],
  ],
  no_model: [["The service no longer has this model.", "Le service n’a plus ce modèle."], ["Load the page again.", "Rechargez la page."]],
  no_key: [["The service did not accept the key.", "Le service n’a pas accepté la clé."], ["Load the page again and give the key.", "Rechargez la page et donnez la clé."]],
  unreachable: [["The service cannot be reached.", "Le service ne répond pas."], AGAIN],
  unreadable: [["The browser cannot read this file.", "Le navigateur ne peut pas lire ce fichier."], ["Was it moved or deleted? Add it again.", "A-t-il été déplacé ou supprimé ? Ajoutez-le de nouveau."]],
  fault: [["The service failed.", "Le service a échoué."], ["Try it again; if it stays so, tell whoever runs the service.", "Réessayez ; si cela persiste, prévenez qui gère le service."]],
};

// What the service says of a doubtful picture or of doubtful lungs, for French.
export const DOUBTS = {
  "no lungs where lungs would be": "pas de poumons là où ils devraient être",
  "what looks like lungs does not have their shape": "ce qui ressemble à des poumons n’en a pas la forme",
  "the greys are not those of a chest": "les gris ne sont pas ceux d’un thorax",
  "a lateral view": "un profil",
  "greys inverted": "gris inversés",
  "on its side, upright after a quarter turn clockwise": "couchée, redressée par un quart de tour dans le sens horaire",
  "on its side, upright after a quarter turn anticlockwise": "couchée, redressée par un quart de tour dans le sens antihoraire",
  "on its side": "couchée",
  "upside down": "à l’envers",
  "on its side or upside down": "couchée ou à l’envers",
  "not recognised": "non reconnue",
  "no lungs found": "aucun poumon trouvé",
  "too small to be lungs": "trop petits pour des poumons",
  "too large to be lungs": "trop grands pour des poumons",
  "too faint to be lungs": "trop peu nets pour des poumons",
  "too narrow to be lungs": "trop étroits pour des poumons",
  "one lung alone": "un seul poumon",
};

// Of these, the file is not at fault.
export const PASSING = new Set([
  "stalled", "no_space", "deadline", "overloaded", "stopping", "too_often", "unreachable", "fault", "timeout",
]);

// What is said of a code where the service says no more.
export const PLAIN = {
  not_chest: "not recognised", lateral: "a lateral view", inverted: "greys inverted", turned: "on its side or upside down",
};

// The same file would be judged the same.
export const FINAL = new Set([
  ...Object.keys(PLAIN), "empty", "corrupt_image", "unsupported_type", "unknown_syntax", "missing_extra", "no_pixels",
  "many_frames", "not_radiograph", "blank", "too_large", "body_too_large",
]);
