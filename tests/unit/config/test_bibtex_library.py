"""The arXiv ids of a BibTeX file."""

from pathlib import Path

import pytest

from feedsrv.config.bibtex_library import read_arxiv_ids


@pytest.mark.parametrize(
    "fields",
    [
        "eprint = {2611.00001}, archivePrefix = {arXiv}",
        "eprint = {2611.00001v2}",
        "eprint = {{2611.00001}}",
        "eprint = 2611.00001",
        'EPRINT="2611.00001"',
        "eprint={arXiv:2611.00001}",
        "arxivId = {2611.00001}",
        "journal = {CoRR}, volume = {abs/2611.00001}",
        "journal = {arXiv preprint arXiv:2611.00001}",
        "note = {arXiv 2611.00001 [cs.RO]}",
        "doi = {10.48550/ARXIV.2611.00001}",
        "url = {https://www.arxiv.org/pdf/2611.00001v1.pdf}",
        "url = {https://arxiv.org/html/2611.00001}",
        "url = {https://huggingface.co/papers/2611.00001}",
        "howpublished = {\\url{https://export.arxiv.org/abs/2611.00001}}",
    ],
)
def test_an_id_is_read_from_each_field_that_programs_write(tmp_path: Path, fields: str) -> None:
    (tmp_path / "library.bib").write_text(f"@article{{quill, title = {{Kites}}, {fields}}}")
    assert read_arxiv_ids("library.bib", tmp_path) == ("2611.00001",)


@pytest.mark.parametrize(
    "fields",
    [
        "pages = {2611.00001}",
        "eprint = {2613.00001}",
        "eprint = {2611.000011}",
        "eprint = {cs/0701001}",
    ],
)
def test_other_numbers_are_no_ids(tmp_path: Path, fields: str) -> None:
    (tmp_path / "library.bib").write_text(f"@article{{quill, {fields}}}")
    with pytest.raises(ValueError, match="has no arXiv id"):
        read_arxiv_ids("library.bib", tmp_path)
