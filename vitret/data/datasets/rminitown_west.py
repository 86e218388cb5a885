"""Synthetic evaluation set, west of the town, in the revisited form: boxed queries; easy, hard, junk from geometry."""

from vitret.data.datasets._minitown import revisited_build, revisited_card

CARD = revisited_card("west", easy=334, hard=529, junk=97)
build = revisited_build("west")
