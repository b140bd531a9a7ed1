//! The small world that the documents talk about: its facts are the same in every document of every seed.

/// A country, real or made up.
pub(super) struct Country {
    pub(super) name: &'static str,
    pub(super) people: &'static str,
    pub(super) language: &'static str,
    pub(super) currency: &'static str,
    pub(super) capital: &'static str,
}

const fn country(
    name: &'static str,
    people: &'static str,
    language: &'static str,
    currency: &'static str,
    capital: &'static str,
) -> Country {
    Country { name, people, language, currency, capital }
}

pub(super) const COUNTRIES: &[Country] = &[
    country("France", "French", "French", "franc", "Paris"),
    country("England", "English", "English", "pound", "London"),
    country("Italy", "Italians", "Italian", "lira", "Rome"),
    country("Spain", "Spaniards", "Spanish", "peseta", "Madrid"),
    country("Norway", "Norwegians", "Norwegian", "krone", "Oslo"),
    country("Egypt", "Egyptians", "Arabic", "pound", "Cairo"),
    country("Japan", "Japanese", "Japanese", "yen", "Tokyo"),
    country("India", "Indians", "Hindi", "rupee", "Delhi"),
    country("Peru", "Peruvians", "Spanish", "sol", "Lima"),
    country("Poland", "Poles", "Polish", "zloty", "Warsaw"),
    country("Velland", "Vellanders", "Vellish", "dorin", "Velmora"),
    country("Ostria", "Ostrians", "Ostric", "talen", "Karsk"),
    country("Quillon", "Quillonese", "Quillish", "penna", "Inkwell"),
    country("Marrowland", "Marrows", "Marrish", "groat", "Stonebury"),
];

/// A town: its name, what it is, the number of its country, the river or sea by it.
pub(super) struct Town {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) country: usize,
    pub(super) water: &'static str,
}

const fn town(name: &'static str, kind: &'static str, country: usize, water: &'static str) -> Town {
    Town { name, kind, country, water }
}

pub(super) const TOWNS: &[Town] = &[
    town("Paris", "city", 0, "Seine"),
    town("Lyon", "city", 0, "Rhone"),
    town("Nantes", "port", 0, "Loire"),
    town("London", "city", 1, "Thames"),
    town("York", "town", 1, "Ouse"),
    town("Bristol", "port", 1, "Avon"),
    town("Rome", "city", 2, "Tiber"),
    town("Florence", "city", 2, "Arno"),
    town("Turin", "city", 2, "Po"),
    town("Madrid", "city", 3, "Manzanares"),
    town("Toledo", "town", 3, "Tagus"),
    town("Oslo", "city", 4, "Aker"),
    town("Bergen", "port", 4, "Vagen"),
    town("Cairo", "city", 5, "Nile"),
    town("Luxor", "town", 5, "Nile"),
    town("Tokyo", "city", 6, "Sumida"),
    town("Osaka", "port", 6, "Yodo"),
    town("Delhi", "city", 7, "Yamuna"),
    town("Agra", "town", 7, "Yamuna"),
    town("Lima", "city", 8, "Rimac"),
    town("Warsaw", "city", 9, "Vistula"),
    town("Velmora", "city", 10, "Silver Vell"),
    town("Tarrin", "village", 10, "Little Vell"),
    town("Port Odell", "port", 10, "Silver Vell"),
    town("Karsk", "city", 11, "Dunn"),
    town("Brenna", "town", 11, "Dunn"),
    town("Upper Fall", "village", 11, "Cold Dunn"),
    town("Inkwell", "city", 12, "Nib"),
    town("Blotter", "town", 12, "Nib"),
    town("Paperhaven", "port", 12, "Foolscap"),
    town("Stonebury", "city", 13, "Marl"),
    town("Hollow Green", "village", 13, "Marl"),
    town("Wickham", "town", 13, "Lesser Marl"),
];

/// An animal: its young, its sound, its food, where it lives, how many legs it has, what group it is of.
pub(super) struct Animal {
    pub(super) name: &'static str,
    pub(super) young: &'static str,
    pub(super) sound: &'static str,
    pub(super) food: &'static str,
    pub(super) home: &'static str,
    pub(super) legs: &'static str,
    pub(super) group: &'static str,
}

const fn animal(words: [&'static str; 7]) -> Animal {
    let [name, young, sound, food, home, legs, group] = words;
    Animal { name, young, sound, food, home, legs, group }
}

pub(super) const ANIMALS: &[Animal] = &[
    animal(["dog", "puppy", "bark", "meat", "kennel", "four", "mammal"]),
    animal(["cat", "kitten", "purr", "fish", "house", "four", "mammal"]),
    animal(["horse", "foal", "neigh", "grass", "stable", "four", "mammal"]),
    animal(["cow", "calf", "moo", "grass", "barn", "four", "mammal"]),
    animal(["goat", "kid", "bleat", "leaves", "hill", "four", "mammal"]),
    animal(["sheep", "lamb", "bleat", "grass", "meadow", "four", "mammal"]),
    animal(["wolf", "cub", "howl", "meat", "forest", "four", "mammal"]),
    animal(["bear", "cub", "growl", "berries", "cave", "four", "mammal"]),
    animal(["pig", "piglet", "grunt", "roots", "sty", "four", "mammal"]),
    animal(["hen", "chick", "cluck", "grain", "coop", "two", "bird"]),
    animal(["goose", "gosling", "honk", "grass", "pond", "two", "bird"]),
    animal(["duck", "duckling", "quack", "weeds", "pond", "two", "bird"]),
    animal(["owl", "owlet", "hoot", "mice", "tree", "two", "bird"]),
    animal(["swan", "cygnet", "hiss", "weeds", "lake", "two", "bird"]),
    animal(["frog", "tadpole", "croak", "flies", "marsh", "four", "amphibian"]),
];

/// A trade: who does it, what they make or do, where, with what tool.
pub(super) struct Trade {
    pub(super) name: &'static str,
    pub(super) work: &'static str,
    pub(super) place: &'static str,
    pub(super) tool: &'static str,
}

const fn trade(name: &'static str, work: &'static str, place: &'static str, tool: &'static str) -> Trade {
    Trade { name, work, place, tool }
}

pub(super) const TRADES: &[Trade] = &[
    trade("baker", "bakes/vz bread", "bakery", "oven"),
    trade("carpenter", "makes/vz tables", "workshop", "saw"),
    trade("teacher", "teaches/vz children", "school", "chalk"),
    trade("doctor", "heals/vz the sick/adj", "hospital", "thermometer"),
    trade("farmer", "grows/vz barley", "farm", "plough"),
    trade("fisherman", "catches/vz fish/ns", "harbour", "net"),
    trade("tailor", "sews/vz coats", "shop", "needle"),
    trade("miller", "grinds/vz grain/n", "mill", "millstone"),
    trade("gardener", "plants/vz roses", "garden", "spade"),
    trade("blacksmith", "shoes/vz horses", "forge", "hammer"),
    trade("postman", "brings/vz letters", "street", "bag"),
    trade("librarian", "lends/vz books", "library", "catalogue"),
    trade("shepherd", "guards/vz sheep/ns", "meadow", "staff"),
    trade("potter", "shapes/vz jugs", "workshop", "wheel"),
    trade("weaver", "weaves/vz blankets", "mill", "loom"),
    trade("watchmaker", "repairs/vz clocks", "shop", "lens"),
    trade("judge", "hears/vz cases/ns", "court", "gavel"),
    trade("cook", "boils/vz soup", "kitchen", "ladle"),
];
