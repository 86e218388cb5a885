"""Synthetic evaluation set, east of the town, in the revisited form: boxed queries; easy, hard, junk from geometry."""

from vitret.data.datasets._minitown import revisited_build, revisited_card

CARD = revisited_card("east", easy=384, hard=502, junk=74)
build = revisited_build("east")
