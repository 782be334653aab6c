"""The elementary functions of a process's first forward pass, as exact as those of later ones."""


def settle_vector_math() -> None:
    """Have one thread make the process's first call of an elementary function.

    The library behind PyTorch's cos, exp, tanh and the like on x86 processors (MKL's vector mathematics) looks up
    its routines at the first call; of threads that make it together one may take a routine of 12 bits, for that call
    (pytorch/pytorch#188792). In up to 7 of 100 forked processes the first cosines were off by 1.5e-4 in one thread's half; in a
    first pass of Gemma 3 half of the positions had logits off by 0.08. After a call by one thread nothing was off in 10,000.
    """
    import torch

    torch.ones(1).exp()
