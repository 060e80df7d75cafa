// Why a file was not read, and how to mend it, by the service's code: [English, French] of each.
const AGAIN = ["Try it again.", "Réessayez."];
const EXPORT_AGAIN = ["Export it again from where it came from.", "Exportez-la de nouveau depuis sa source."];
const KINDS = ["Take a JPEG, a PNG or a DICOM file.", "Prenez un fichier JPEG, PNG ou DICOM."];
const FRONTAL = ["Take a frontal view of the chest.", "Prenez une incidence de face du thorax."];

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
  no_pixels: [["This DICOM file holds no picture.", "Ce fichier DICOM ne contient pas d’image."], ["Take the file with the image.", "Prenez le fichier qui porte l’image."]],
  many_frames: [["This file holds several frames.", "Ce fichier contient plusieurs vues."], ["Take a single radiograph.", "Prenez une radiographie seule."]],
  not_radiograph: [["This is no radiograph (of another modality).", "Ce n’est pas une radiographie (autre modalité)."], FRONTAL],
  not_chest: [["This is no chest radiograph.", "Ce n’est pas une radiographie thoracique."], FRONTAL],
  lateral: [["This is a lateral view.", "C’est une incidence de profil."], FRONTAL],
  inverted: [
    ["The greys are inverted: air is white.", "Les gris sont inversés : l’air est blanc."],
    ["Invert the picture, or take the DICOM file.", "Inversez l’image, ou prenez le fichier DICOM."],
  ],
  turned: [["The chest lies on its side or upside down.", "Le thorax est couché ou renversé."], ["Turn the picture upright.", "Redressez l’image."]],
  blank: [["The picture is blank.", "L’image est vide."], EXPORT_AGAIN],
  too_large: [["The picture has too many pixels.", "L’image a trop de pixels."], ["Make it smaller.", "Réduisez-la."]],
  body_too_large: [["The file is too large.", "Le fichier est trop lourd."], ["Make it smaller, or compress it.", "Réduisez-le ou compressez-le."]],
  timeout: [["Reading it took too long.", "Sa lecture a pris trop de temps."], EXPORT_AGAIN],
  decoder_died: [["It could not be decoded.", "Elle n’a pas pu être décodée."], EXPORT_AGAIN],
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
  "no lungs where lungs would be": "pas de poumons là où il devrait y en avoir",
  "what looks like lungs does not have their shape": "ce qui ressemble à des poumons n’en a pas la forme",
  "the greys are not those of a chest": "les gris ne sont pas ceux d’un thorax",
  "no lungs found": "aucun poumon trouvé",
  "too small to be lungs": "trop petits pour des poumons",
  "too large to be lungs": "trop grands pour des poumons",
  "too faint to be lungs": "trop peu nets pour des poumons",
  "too narrow to be lungs": "trop étroits pour des poumons",
  "one lung alone": "un seul poumon",
};

// Of these, the file is not at fault.
export const PASSING = new Set(["deadline", "overloaded", "stopping", "too_often", "unreachable", "fault", "timeout"]);
