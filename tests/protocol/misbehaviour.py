"""What no honest party does. Loaded inside a party's process by `Fleet.do`; the first argument is its PartyWorker."""

import dataclasses
import time

import numpy as np

from bench.wire import arrays_message


def disturb(party, how, number):
    """The next evaluation does something wrong at one round."""
    link, original = party.link, type(party.link).exchange
    count = [0]

    def exchange(array, *meanwhile):
        count[0] += 1
        if count[0] != number:
            return original(link, array, *meanwhile)
        link.exchange = lambda *later: original(link, *later)
        if how == "die":
            time.sleep(3600)
        if how == "shape":
            return original(link, np.zeros(array.size + 1, array.dtype))
        if how == "dtype":
            return original(link, array.view(np.int64 if array.dtype == np.uint64 else np.uint64))
        if how == "step":
            link._step += 1
            return original(link, array)
        if how == "session":
            link._session_id = bytes(16)
            return original(link, array)
        if how == "sender":
            return original(pretender(link), array)
        received = original(link, array)
        received[0] = received[0] + array.dtype.type(1)  # "transcript": this party sees another opening than the rest
        return received

    link.exchange = exchange


def pretender(link):
    """The link, with another party's index in the next frame."""
    config, make_round = link._config, link._round

    def honest_round(sent):
        del link._round
        link._config = config
        return make_round(sent)

    link._round = honest_round
    link._config = dataclasses.replace(config, rank=(link.rank + 1) % link.size)
    return link


def damage(party, how):
    """At the last party: what comes from the dealer next is not what it sent."""
    fetching = party.door.fetching

    def damaged_fetching(deadline, batches):
        del party.door.fetching
        fetch = fetching(deadline, batches)

        def damaged_fetch(*arguments):
            data = bytearray(b"".join(fetch(*arguments)))
            if how == "flipped":
                data[1000] ^= 1
            elif how == "short":
                del data[-1]
            else:
                data += b"x"
            yield bytes(data)

        return damaged_fetch

    party.door.fetching = damaged_fetching


def record(party):
    """Keep every opened value of the next evaluations."""
    from mpc_infer.engine.crypten import communicator

    original = communicator.LinkOpening._combine
    party.opened = []

    def keep(self, flat, combine):
        opened = original(self, flat, combine)
        party.opened.append(opened.copy())
        return opened

    communicator.LinkOpening._combine = keep
    party.restore = lambda: setattr(communicator.LinkOpening, "_combine", original)


def collect(party):
    """What was opened since `record`."""
    party.restore()
    return arrays_message([opened.view(np.uint64) for opened in party.opened])


def lean_from(party, elements):
    """Use another layout of comparisons."""
    from mpc_infer.engine.masked import MaskedEngine

    party.engine = MaskedEngine(lean_from=elements)


def forget_seed(party):
    """Hold another opening of the same model than the rest."""
    import numpy as np

    from mpc_infer.engine.masked import MaskedModel
    from mpc_infer.engine.masked.model import Weight

    for key, (graph, model) in party.models.items():
        weights = {slot: Weight(one.share, one.masked + np.uint64(1)) for slot, one in model.weights.items()}
        opened = MaskedModel(model.seed, weights, model.biases, model.public, model.fixed)
        party.models[key] = (graph, opened)
